"""Peak memory against allocations of a known size."""

import sys

import pytest
import torch

from lookright.bench.memory import can_measure, peak_bytes, peak_of
from lookright.bench.steps import Variant
from lookright.errors import LookrightError

CPU = torch.device("cpu")
MEBIBYTE = 1 << 20


@pytest.mark.skipif(not can_measure(CPU), reason="peak memory of a CPU step is measured on Linux alone")
def test_peak_is_what_was_held_at_once() -> None:
    def hold(mebibytes: int) -> None:
        torch.ones(mebibytes * MEBIBYTE // 4)

    def one_after_the_other() -> None:
        hold(300)
        hold(300)

    assert peak_of(one_after_the_other, CPU) / MEBIBYTE == pytest.approx(300, abs=8)


def test_says_where_it_cannot_measure() -> None:
    assert not can_measure(torch.device("mps"))


def test_a_failing_process_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(LookrightError, match=r"plain step of resnet18.*exit status 1.*--batch-size"):
        peak_bytes(Variant.PLAIN, "resnet18", batch_size=1, image_size=32, device=CPU)
