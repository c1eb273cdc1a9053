"""The figure by which the report judges performance, by task: one that every image has a share in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lookright.report.runs import ImageResult, Run
from lookright.types import Task


@dataclass(frozen=True)
class Measure:
    """A figure of performance."""

    figure: str
    """name in metrics.json"""
    name: str
    """in a sentence"""
    of: Callable[[ImageResult, int], float]
    """an image's share in it, given the number of classes"""
    is_share: bool = True
    """whether it lies in [0, 1] and is told as per cent"""
    higher_is_better: bool = True


def _right_decisions(result: ImageResult, classes: int) -> float:
    """Share of the classes that are rightly said to be present or absent."""
    return 1 - len(set(result.predicted_names) ^ set(result.label_names)) / classes


MEASURES: dict[Task, Measure] = {
    Task.SINGLE_LABEL: Measure("accuracy", "accuracy", lambda result, _: float(bool(result.correct))),
    Task.MULTI_LABEL: Measure("hamming_accuracy", "Hamming accuracy", _right_decisions),
    Task.REGRESSION: Measure(
        "mae",
        "mean absolute error",
        lambda result, _: abs(float(result.predicted) - float(result.label)),
        is_share=False,
        higher_is_better=False,
    ),
}


def measure_of(run: Run) -> Measure:
    """The measure of the task of a run."""
    return MEASURES[run.task]
