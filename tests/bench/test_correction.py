"""What is timed is `lookright train` on cached features, and its operations are those of what learns."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lookright.bench.correction import Correction, correction_figures, make_correction
from lookright.bench.settings import QUICK
from lookright.engine.features import Key
from lookright.engine.setup import set_up
from lookright.engine.trunk import FrozenTrunk

CPU = torch.device("cpu")


@pytest.fixture
def correction(tmp_path: Path) -> Correction:
    return make_correction(tmp_path, QUICK, CPU)


def test_the_data_are_annotated_photos_to_train_on(correction: Correction) -> None:
    setup = set_up(correction.config)
    assert len(setup.train) == QUICK.correction_images
    assert setup.val is None
    assert all(setup.train.annotated)
    annotation = setup.train.sample(0, mirrored=False).annotation
    assert annotation.unique().tolist() == [-1, 0, 1]


def test_later_runs_find_the_features(correction: Correction, monkeypatch: pytest.MonkeyPatch) -> None:
    correction.fill()
    own, computed = FrozenTrunk._compute, []

    def compute(self: FrozenTrunk, keys: Sequence[Key], *rest: Any) -> Any:
        computed.append(len(keys))
        return own(self, keys, *rest)

    monkeypatch.setattr(FrozenTrunk, "_compute", compute)
    assert len(correction.run("head", 2)) == 2
    assert sum(computed) <= 4, "no more than what is tried out"


def test_operations_of_an_epoch_are_those_of_the_head(correction: Correction) -> None:
    plain = replace(correction, config=replace(correction.config, method="baseline"))
    plain.fill()
    # Logits, and the gradient of the head's weights: products of 2 classes and 64 channels for each image.
    assert plain.flops_per_epoch("head") == 2 * (2 * 2 * 64) * QUICK.correction_images
    assert plain.flops_per_epoch("head") < correction.flops_per_epoch("head")
    assert correction.flops_per_epoch("head") < correction.flops_per_epoch("last-stage")


def test_figures() -> None:
    figures = list(correction_figures(replace(QUICK, few_rounds=2), CPU))
    assert [(figure.what.split()[0], figure.of) for figure in figures] == [
        (what, f"small_cnn (random weights), {scope}")
        for what in ("correction", "its", "epoch,")
        for scope in ("head", "last-stage")
    ]
    assert all(figure.spread and figure.spread.median > 0 for figure in figures)
