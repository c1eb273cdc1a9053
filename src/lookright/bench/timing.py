"""Ratios that a noisy machine can be trusted with: variants take turns, medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tqdm.auto import tqdm


@dataclass(frozen=True)
class Ratio:
    """One time over another, round by round."""

    median: float
    low: float
    """first quartile over the rounds"""
    high: float
    """third quartile"""
    seconds: tuple[float, float]
    """median of numerator and denominator"""
    rounds: int

    def as_json(self) -> dict[str, float | int | list[float]]:
        """Give what the json file holds."""
        return {
            "median": round(self.median, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "seconds": [round(s, 5) for s in self.seconds],
            "rounds": self.rounds,
        }


def interleaved(variants: Mapping[str, Callable[[], object]], rounds: int, label: str) -> dict[str, list[float]]:
    """Time each variant once per round, after one round that does not count.

    The order turns by one each round, so that none is always the one after a slow neighbour.

    Returns:
        name -> seconds, one per round
    """
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in tqdm(range(rounds + 1), desc=label, unit="round", disable=None):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            started = time.perf_counter()
            variants[name]()
            if i:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> Ratio:
    """Compare two variants of `interleaved`: the median and quartiles of their ratio over the rounds.

    Example:
        >>> ratio([2.0, 4.0, 6.0], [1.0, 2.0, 2.0]).median
        2.0
    """
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Ratio(
        statistics.median(ratios),
        low,
        high,
        (statistics.median(numerator), statistics.median(denominator)),
        len(ratios),
    )
