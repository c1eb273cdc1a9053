"""Every claim about speed, each measured in turns with what it is compared to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lookright.bench.evaluation import measure_evaluation, write_photos
from lookright.bench.memory import can_measure, peak_bytes
from lookright.bench.results import Figure, Target
from lookright.bench.steps import Variant, make_step, make_subject
from lookright.bench.threshold import measure_threshold
from lookright.bench.timing import Measurements, take_turns, timed

MEBIBYTE = 1 << 20

NO_DEARER = Target(1.05, at_most=True)
"""A supervised step beside a plain one."""
THRICE = Target(3, at_most=False)
"""The published structure beside ours."""
HALF_A_SECOND = Target(500, at_most=True, unit="ms")
"""The threshold of a million cells."""
NEARLY_AS_FAST = Target(0.8, at_most=False)
"""Evaluation beside plain inference."""
MILLION = 10**6


@dataclass(frozen=True)
class Settings:
    """What to measure, and how often."""

    backbones: tuple[str, ...] = ("resnet18", "resnet50", "tf_efficientnet_lite0")
    batch_size: int = 16
    image_size: int = 224
    rounds: int = 7
    published_rounds: int = 3
    """fewer, since each takes as long as several of the others"""
    memory_rounds: int = 3
    """fewer, since memory hardly varies"""
    images: int = 32
    """of the evaluation"""
    cells: tuple[int, ...] = (10**2, 10**3, 10**4, 10**5, MILLION)
    loop_cells: tuple[int, ...] = (10**2, 10**3)
    """for which the loop over candidates ends within patience"""
    trial: bool = False
    """whether the figures say nothing"""


QUICK = Settings(
    backbones=("small_cnn",),
    batch_size=4,
    image_size=32,
    rounds=1,
    published_rounds=1,
    memory_rounds=1,
    images=8,
    cells=(10**2, 10**3),
    loop_cells=(10**2,),
    trial=True,
)
"""To see that everything runs."""


def measure(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure one figure after the other.

    Args:
        settings: what, and how often
        device: where networks and solver run

    Raises:
        ConfigError: a backbone that does not exist or cannot take the images.
        LookrightError: a process that measures memory failed.
    """
    for backbone in settings.backbones:
        yield Figure(
            "supervised step / plain step, time",
            backbone,
            "s",
            _seconds(settings, backbone, device, (Variant.SUPERVISED, Variant.PLAIN), settings.rounds),
            over=("supervised", "plain"),
            target=NO_DEARER,
        )
    for backbone in settings.backbones:
        yield Figure(
            "supervised step / plain step, peak memory",
            backbone,
            "MiB",
            _mebibytes(settings, backbone, device) if can_measure(device) else {},
            over=("supervised", "plain"),
            target=NO_DEARER,
        )
    for backbone in settings.backbones:
        variants = (Variant.PUBLISHED, Variant.SUPERVISED)
        yield Figure(
            "published structure / supervised step, time",
            backbone,
            "s",
            _seconds(settings, backbone, device, variants, settings.published_rounds),
            over=("published", "supervised"),
            target=THRICE,
        )
    with tempfile.TemporaryDirectory() as folder:
        items = write_photos(Path(folder), count=settings.images, image_size=settings.image_size)
        for backbone in settings.backbones:
            rates = measure_evaluation(
                backbone,
                items,
                batch_size=settings.batch_size,
                image_size=settings.image_size,
                rounds=settings.rounds,
                device=device,
            )
            yield Figure(
                "evaluation / plain inference, speed",
                backbone,
                "images/s",
                rates,
                over=("evaluation", "plain"),
                target=NEARLY_AS_FAST,
            )
    yield from _threshold(settings, device)


def _threshold(settings: Settings, device: torch.device) -> Iterator[Figure]:
    against_loop = []
    for n in settings.cells:
        cells = f"{n:,} cells"
        seconds = measure_threshold(n, settings.rounds, device, with_loop=n in settings.loop_cells)
        milliseconds = {name: [1000 * s for s in values] for name, values in seconds.items()}
        ours = {"ours": milliseconds["ours"]}
        target = HALF_A_SECOND if n == MILLION else None
        yield Figure("adaptive threshold", cells, "ms", ours, target=target)
        if n in settings.loop_cells:
            what = "loop over candidates / adaptive threshold, time"
            against_loop.append(Figure(what, cells, "ms", milliseconds, over=("loop", "ours")))
    yield from against_loop


def _seconds(
    settings: Settings, backbone: str, device: torch.device, variants: tuple[Variant, ...], rounds: int
) -> Measurements:
    subject = make_subject(
        backbone, batch_size=settings.batch_size, image_size=settings.image_size, device=device
    )
    steps = {variant.value: timed(make_step(subject, variant)) for variant in variants}
    return take_turns(steps, rounds, f"{backbone}, {' and '.join(steps)} step")


def _mebibytes(settings: Settings, backbone: str, device: torch.device) -> Measurements:
    def peak(variant: Variant) -> float:
        size, side = settings.batch_size, settings.image_size
        return peak_bytes(variant, backbone, batch_size=size, image_size=side, device=device) / MEBIBYTE

    variants = {
        Variant.PLAIN.value: lambda: peak(Variant.PLAIN),
        Variant.SUPERVISED.value: lambda: peak(Variant.SUPERVISED),
    }
    return take_turns(variants, settings.memory_rounds, f"{backbone}, memory", warm_up=False)
