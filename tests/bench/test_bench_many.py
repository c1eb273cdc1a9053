"""Many runs at once are measured."""

import logging
from pathlib import Path

import pytest
import torch

from lookright.bench.many import make_comparison, measure_many
from lookright.bench.settings import QUICK


def test_both_ways_are_measured_and_all_runs_learn_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    comparison = make_comparison(tmp_path, QUICK, torch.device("cpu"))
    with caplog.at_level(logging.INFO, logger="lookright"):
        seconds = measure_many(comparison, seeds=2, rounds=1)
    assert "10 runs are trained together" in caplog.text
    assert "alone" not in caplog.text
    assert seconds.keys() == {"many", "one after the other"}
    assert all(value[0] > 0 for value in seconds.values())
