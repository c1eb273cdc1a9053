"""Measurements that a noisy machine can be trusted with: variants take turns, medians are compared."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

Measurements = dict[str, list[float]]
"""name of a variant -> what was measured, one number per round"""


class Spread(NamedTuple):
    """The middle half of some measurements."""

    low: float
    """first quartile"""
    median: float
    high: float
    """third quartile"""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise; of one value, all three are that value.

        Example:
            >>> Spread.of([1.0, 5.0, 2.0])
            Spread(low=1.5, median=2.0, high=3.5)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        # "inclusive": never beyond what was measured, however few rounds there were.
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def take_turns(
    variants: Mapping[str, Callable[[], float]], rounds: int, label: str, *, warm_up: bool = True
) -> Measurements:
    """Measure each variant once per round.

    Whatever else the machine does meanwhile meets all variants alike. The order turns by one each round, so
    that none always comes after the same neighbour.

    Args:
        variants: name -> a function that runs the variant and gives its measurement
        rounds: how many measurements of each
        label: what the progress bar says
        warm_up: begin with a round that does not count

    Returns:
        name -> measurements, one per round

    Example:
        >>> take_turns({"one": lambda: 1.0, "two": lambda: 2.0}, rounds=2, label="count")
        {'one': [1.0, 1.0], 'two': [2.0, 2.0]}
    """
    names = list(variants)
    measured: Measurements = {name: [] for name in names}
    uncounted = int(warm_up)
    for i in tqdm(range(uncounted + rounds), desc=label, unit="round", leave=False, disable=None):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            value = variants[name]()
            if i >= uncounted:
                measured[name].append(value)
    return measured


def timed(call: Callable[[], object], *, repeat: int = 1) -> Callable[[], float]:
    """Make a variant for `take_turns` that measures seconds per call, the garbage collector off.

    Args:
        call: what to time; on a GPU it must wait for its result (see `synchronize`)
        repeat: calls per measurement, for what is too quick for one
    """
    return lambda: timeit.timeit(call, timer=perf_counter, number=repeat) / repeat


def repeats(call: Callable[[], object]) -> int:
    """Find how many calls take 0.2 s or more together: enough for a clock, see `timeit.Timer.autorange`."""
    return timeit.Timer(call, timer=perf_counter).autorange()[0]


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
