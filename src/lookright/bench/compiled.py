"""What `--compile` gains in a training step."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from lookright.bench.results import Figure
from lookright.bench.settings import Settings
from lookright.bench.steps import Variant, make_step
from lookright.bench.timing import Measurements, take_turns, timed
from lookright.engine.compiled import compile_trunk

NO_COMPILER = "not measured: it cannot be compiled on this machine"


def measure_compiled(settings: Settings, backbone: str, device: torch.device) -> tuple[Measurements, float]:
    """Time supervised steps of two equal networks in turns, one of them compiled up to the target layer.

    Args:
        settings: image size, precision, rounds
        backbone: see `lookright.models.create`
        device: where it runs

    Returns:
        seconds of steps, "eager" and "compiled", empty where nothing was compiled; and the seconds of the
        first step of the compiled one, in which the compiler works
    """
    size = settings.batch_sizes[0]
    subjects = {name: settings.subject(backbone, device, size) for name in ("eager", "compiled")}
    compiled = subjects["compiled"]
    units = compile_trunk(compiled.network, [compiled.explainer], image_size=settings.image_size)
    steps = {name: make_step(subject, Variant.SUPERVISED) for name, subject in subjects.items()}
    started = time.perf_counter()
    steps["compiled"]()
    first = time.perf_counter() - started
    if not units:
        return {}, first
    turns = {name: timed(step) for name, step in steps.items()}
    return take_turns(turns, settings.few_rounds, f"{backbone}, eager and compiled step"), first


def compiled_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure an eager supervised step beside a compiled one, and how long the compiler works.

    Args:
        settings: networks, rounds
        device: where networks run
    """
    for backbone in settings.compiled_backbones:
        seconds, first = measure_compiled(settings, backbone, device)
        yield Figure(
            "eager / compiled supervised step, time",
            backbone,
            "s",
            seconds,
            over=("eager", "compiled"),
            otherwise=NO_COMPILER,
        )
        yield Figure(
            "first compiled step", backbone, "s", {"first": [first]} if seconds else {}, otherwise=NO_COMPILER
        )
