"""Losses on input gradients beside a plain step: seconds, and the operations that there is no way around."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from lookright.bench.flops import count_flops
from lookright.bench.results import Figure
from lookright.bench.settings import Settings
from lookright.bench.steps import Subject, Variant, make_step, plain_loss, supervised_loss
from lookright.bench.timing import Measurements, take_turns, timed

COUNTED = 2
"""Images in the batch whose operations are counted: they grow with it."""


def make_subjects(
    settings: Settings, backbone: str, device: torch.device, batch_size: int
) -> dict[str, Subject]:
    """Make one network's steps: the plain one and one for each method.

    Args:
        settings: methods, image size, precision
        backbone: see `lookright.models.create`
        device: where it runs
        batch_size: images in a batch

    Returns:
        "plain" and the methods -> what its step learns; all of equal networks
    """

    methods = settings.input_gradient_methods
    subject = partial(settings.subject, backbone, device, batch_size)
    return {"plain": subject("baseline")} | {method: subject(method) for method in methods}


def count_operations(subjects: dict[str, Subject]) -> Measurements:
    """Count forward and backward passes of a step of each.

    Returns:
        name -> its GFLOP, once
    """

    def count(name: str, subject: Subject) -> float:
        loss = plain_loss if name == "plain" else supervised_loss
        found = count_flops(lambda: torch.autograd.backward(loss(subject)))
        subject.optimizer.zero_grad()
        return found / 1e9

    return {name: [count(name, subject)] for name, subject in subjects.items()}


def input_gradient_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure losses on input gradients beside a plain step of the same network.

    Args:
        settings: backbones, methods, rounds
        device: where networks run
    """
    for backbone in settings.backbones:
        subjects = make_subjects(settings, backbone, device, settings.batch_sizes[0])
        steps = {name: timed(_step(name, subject)) for name, subject in subjects.items()}
        seconds = take_turns(steps, settings.few_rounds, f"{backbone}, input gradients")
        flops = count_operations(make_subjects(settings, backbone, device, COUNTED))
        for method in settings.input_gradient_methods:
            for what, unit, measured in (("time", "s", seconds), ("operations", "GFLOP", flops)):
                yield Figure(
                    f"input-gradient step / plain step, {what}",
                    f"{backbone}, {method}",
                    unit,
                    {name: measured[name] for name in (method, "plain")},
                    over=(method, "plain"),
                )


def _step(name: str, subject: Subject) -> Callable[[], None]:
    return make_step(subject, Variant.PLAIN if name == "plain" else Variant.SUPERVISED)
