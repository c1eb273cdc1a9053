"""A comparison of methods over seeds, trained at once, beside one method's seeds one after the other."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from lookright.bench.correction import Correction, has_weights, make_correction
from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import Measurements, take_turns
from lookright.config import TrainConfig
from lookright.engine.many import train_many
from lookright.engine.train import train
from lookright.models import create

METHODS = ("baseline", "gradia", "haics", "res-g", "evidence")
ONE = "res-g"
AT_ONCE = Target(1.5, at_most=True)
"""Five methods at once beside one of them, seed after seed."""


def make_comparison(folder: Path, settings: Settings, device: torch.device) -> Correction:
    """Write annotated photos, and give the options that all runs share; features are there already.

    Args:
        folder: an empty one
        settings: network, number of images, epochs
        device: where to train
    """
    correction = make_correction(folder, settings, device)
    config = replace(correction.config, train="head", epochs=settings.correction_epochs, precision="32")
    if not has_weights(settings):  # random ones would be others with every seed
        file = folder / "weights.safetensors"
        network = create(config.backbone, num_classes=2, image_size=config.image_size).network
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)
        config = replace(config, weights=str(file))
    comparison = replace(correction, config=config)
    comparison.run("head", 1)
    return comparison


def measure_many(comparison: Correction, *, seeds: int, rounds: int) -> Measurements:
    """Train all methods with all seeds at once, and one method seed after seed, in turns.

    Args:
        comparison: options of the runs and their features
        seeds: how many
        rounds: how many measurements of each

    Returns:
        "many" and "one after the other" -> seconds, from the options to the last run folder
    """
    out = Path(str(comparison.config.out))

    def configs(methods: Sequence[str]) -> list[TrainConfig]:
        return [
            replace(comparison.config, method=method, seed=seed, out=out.parent / "runs" / f"{method}-{seed}")
            for method in methods
            for seed in range(seeds)
        ]

    def timed(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        shutil.rmtree(out.parent / "runs")
        return seconds

    def one_after_the_other() -> None:
        for config in configs([ONE]):
            train(config, store=comparison.store)

    return take_turns(
        {
            "many": lambda: timed(lambda: train_many(configs(METHODS), store=comparison.store)),
            "one after the other": lambda: timed(one_after_the_other),
        },
        rounds,
        "many runs",
        warm_up=False,
    )


def many_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure what a comparison of methods costs.

    Args:
        settings: network, images, epochs, seeds
        device: where it trains
    """
    seeds = settings.many_seeds
    with tempfile.TemporaryDirectory() as folder:
        comparison = make_comparison(Path(folder), settings, device)
        seconds = measure_many(comparison, seeds=seeds, rounds=settings.few_rounds)
    yield Figure(
        f"{len(METHODS)} methods x {seeds} seeds at once / one method's, time",
        f"{settings.correction_backbone}, head, {settings.correction_epochs} epochs",
        "s",
        seconds,
        over=("many", "one after the other"),
        target=AT_ONCE,
    )
