"""Bring the runs of one method, seed by seed, together: mean, spread, and which options differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookright.config import INCIDENTAL
from lookright.errors import DataError
from lookright.losses import METHODS
from lookright.report.runs import ImageResult, Run

BASELINE = "baseline"

_NOT_THE_METHOD = {"seed", *(name.replace("_", "-") for name in INCIDENTAL)}


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a figure over seeds."""

    mean: float
    sd: float
    """0 with one seed"""
    seeds: int
    n: int
    """images that it rests on in one seed (the fewest, where seeds differ); 0 where it rests on none"""

    @classmethod
    def of(cls, values: Iterable[float], n: int = 0) -> Spread:
        """Mean and standard deviation of the values that are defined; NaN where none is.

        Example:
            >>> spread = Spread.of([0.5, 0.7, float("nan")], n=10)
            >>> round(spread.mean, 3), round(spread.sd, 3), spread.seeds, spread.n
            (0.6, 0.141, 2, 10)
        """
        defined = [value for value in values if math.isfinite(value)]
        if not defined:
            return cls(math.nan, 0.0, 0, 0)
        sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else 0.0
        return cls(float(np.mean(defined)), sd, len(defined), n)

    @property
    def defined(self) -> bool:
        """Whether there is a figure at all."""
        return math.isfinite(self.mean)


@dataclass(frozen=True)
class MethodRuns:
    """The runs that differ in their seed alone, in the order of their seeds."""

    label: str
    """the method, and in brackets what tells it from other settings of the same method"""
    runs: tuple[Run, ...]

    @property
    def method(self) -> str:
        """How explanations were supervised."""
        return self.runs[0].config.method

    @property
    def first(self) -> Run:
        """The run whose maps are shown: that of the smallest seed."""
        return self.runs[0]

    @property
    def is_baseline(self) -> bool:
        """Whether no explanation was supervised."""
        return self.method == BASELINE

    def spread(self, figure: str, split: str | None = None) -> Spread:
        """A figure of metrics.json over the seeds, on the main split or another one."""
        evaluations = [
            run.evaluation if split is None else run.other_evaluations.get(split) for run in self.runs
        ]
        figures = [e.figures[figure] for e in evaluations if e is not None and figure in e.figures]
        return Spread.of((f.value for f in figures), n=min((f.n for f in figures if f.n), default=0))

    def seconds(self) -> Spread:
        """Training time over the seeds."""
        return Spread.of(run.seconds for run in self.runs)

    def per_image(self, value: Callable[[ImageResult], float]) -> NDArray[np.float64]:
        """A value of each image, averaged over the seeds, (N,), in the order of the first run's images."""
        ids = self.first.evaluation.results
        values = [[value(run.evaluation.results[id]) for id in ids] for run in self.runs]
        average: NDArray[np.float64] = np.array(values, dtype=np.float64).mean(axis=0)
        return average


def group_by_method(runs: Sequence[Run]) -> list[MethodRuns]:
    """Group runs that differ in their seed alone; in the order of `lookright.losses.METHODS`, baseline first.

    Raises:
        DataError: two runs have the same options and the same seed; their spread would mean nothing.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        key = tuple((name, repr(value)) for name, value in run.options.items() if name not in _NOT_THE_METHOD)
        groups.setdefault(key, []).append(run)
    known = list(METHODS)
    labelled = []
    for group in groups.values():
        group.sort(key=lambda run: run.config.seed)
        for run, following in pairwise(group):
            if run.config.seed == following.config.seed:
                raise DataError(
                    f"{run.folder} and {following.folder} have the same options and the same seed "
                    f"{run.config.seed}: they count as one; leave one out"
                )
        siblings = [other[0] for other in groups.values() if other[0].config.method == group[0].config.method]
        labelled.append(MethodRuns(_label(group[0], siblings), tuple(group)))
    return sorted(
        labelled,
        key=lambda m: (known.index(m.method) if m.method in known else len(known), m.method, m.label),
    )


def differing_options(runs: Sequence[Run]) -> list[str]:
    """Names of the options in which the runs differ, in their order on the command line."""
    names = list(dict.fromkeys(name for run in runs for name in run.options))
    return [name for name in names if len({repr(run.options.get(name)) for run in runs}) > 1]


def option_text(value: Any) -> str:
    """An option as one would type it.

    Example:
        >>> option_text(None), option_text(True), option_text(["a", "b"]), option_text(0.001)
        ('–', 'true', 'a, b', '0.001')
    """
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _label(run: Run, siblings: Sequence[Run]) -> str:
    names = [name for name in differing_options(siblings) if name not in _NOT_THE_METHOD]
    if not names:
        return run.config.method
    settings = ", ".join(f"{name} {option_text(run.options.get(name))}" for name in names)
    return f"{run.config.method} ({settings})"
