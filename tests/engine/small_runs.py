"""Small runs, and how to compare them."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.engine.checkpoint import load_checkpoint
from lookright.engine.run_folder import RunFolder
from lookright.engine.supervised import SupervisedModel
from lookright.losses import ExplanationLoss
from lookright.types import Batch


def small(digits: Path, out: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        data=digits,
        out=out,
        backbone="small_cnn",
        weights="none",
        train="all",
        image_size=32,
        epochs=2,
        batch_size=20,
        accelerator="cpu",
    )
    return replace(config, **changes)


def plain(num_classes: int) -> nn.Module:
    """The backbone `small_runs:plain`: smooth, and without a normalisation that looks at the batch."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


class Stubborn(ExplanationLoss):
    """The method `small_runs.Stubborn`: what it does depends on its values, which cannot be vectorised."""

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        values = (explanation * (annotation <= 0)).mean(dim=(1, 2, 3))
        return values * 2 if float(values.detach().sum()) > 0 else values


class Broken(ExplanationLoss):
    """The method `small_runs.Broken`: has a bug, which blank images do not show."""

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        if annotation.any() and explanation.requires_grad:
            1 / 0  # noqa: B018
        return (explanation * annotation).mean(dim=(1, 2, 3))


class Fragile(ExplanationLoss):
    """The method `small_runs.Fragile`: never finite."""

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        return (explanation * annotation).mean(dim=(1, 2, 3)) * explanation.new_tensor(float("inf"))


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def kill_in_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    forward = SupervisedModel.forward
    steps = iter(range(step + 1))

    def dying(self: SupervisedModel, batch: Batch) -> object:
        if next(steps) == step:
            raise Killed
        return forward(self, batch)

    monkeypatch.setattr(SupervisedModel, "forward", dying)


def log(run: Path | RunFolder) -> list[dict[str, str]]:
    """The rows of log.csv, without the column that is never the same."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    with folder.log_file.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def tensors(run: Path | RunFolder) -> dict[str, Tensor]:
    """Everything in last.safetensors: network, imputer, optimizer."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    return load_checkpoint(folder.last)[0]


def assert_same_run(one: Path | RunFolder, other: Path | RunFolder) -> None:
    """Equal to the bit, but for the time it took."""
    assert log(one) == log(other)
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def assert_close_logs(one: Path | RunFolder, other: Path | RunFolder, tolerance: float = 1e-4) -> None:
    """The losses and figures of every epoch agree."""
    ours, theirs = log(one), log(other)
    assert len(ours) == len(theirs)
    for left, right in zip(ours, theirs, strict=True):
        assert left.keys() == right.keys()
        different = {
            k: (left[k], right[k]) for k in left if abs(number(left[k]) - number(right[k])) > tolerance
        }
        assert different == {}


def number(text: str) -> float:
    return float(text) if text else 0.0
