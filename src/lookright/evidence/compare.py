"""What is compared in a report: means over seeds, and paired tests against baseline and reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from lookright.evidence.images import image_interval
from lookright.evidence.reading import LOWER_IS_BETTER
from lookright.evidence.results import Group, Results
from lookright.evidence.statistics import Interval, holm, permutation_test, smallest_p, t_interval

LEVEL = 0.05
"""A corrected p below it is called clear."""


class Verdict(Enum):
    """What a test says of an entry."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "not clearly different"


@dataclass(frozen=True)
class Comparison:
    """An entry against another one, on one measure, seed by seed."""

    group: Group
    entry: str
    against: str
    measure: str
    seeds: int
    """that both have"""
    difference: Interval
    """entry minus the other, over the seeds"""
    p: float
    """of the permutation test"""
    corrected: float
    """for all comparisons of the report (Holm)"""
    agree: bool
    """whether the difference has one sign in all seeds"""
    images: Interval | None = None
    """over the test images, where the measure is a mean of theirs"""

    @property
    def is_gain(self) -> bool:
        """Whether the mean difference is for the better."""
        return (self.difference.mean < 0) == (self.measure in LOWER_IS_BETTER)

    @property
    def verdict(self) -> Verdict:
        """By the corrected p."""
        if not self.corrected < LEVEL:
            return Verdict.UNCLEAR
        return Verdict.BETTER if self.is_gain else Verdict.WORSE

    @property
    def hint(self) -> Verdict:
        """What would be said without correction: one sign in all seeds, and an interval that leaves out 0.

        The only thing that few seeds can show; of many comparisons some look so by chance.
        """
        d = self.difference
        if not (self.agree and (d.low > 0 or d.high < 0)):
            return Verdict.UNCLEAR
        return Verdict.BETTER if self.is_gain else Verdict.WORSE


def mean_of(results: Results, group: Group, entry: str, measure: str) -> Interval:
    """Mean and interval of a measure over the seeds of a cell."""
    return t_interval(list(results.values(group, entry, measure).values()))


def compare(results: Results) -> list[Comparison]:
    """Test every entry against baseline and reference, on each measure that is to be tested.

    Pairs are runs of one seed. p values are corrected together, whatever group or measure they are of.
    The reference is tested against the baseline, and not the other way round again.
    """
    found = []
    for group in results.groups:
        there = results.measures(group)
        for against in opponents(results):
            for entry in results.entries(group):
                if entry == against or (against == results.grid.reference and entry == results.grid.baseline):
                    continue
                found += [
                    _compare(results, group, entry, against, m) for m in results.grid.tests if m in there
                ]
    known = [comparison for comparison in found if comparison is not None]
    corrected = holm([comparison.p for comparison in known])
    return [replace(c, corrected=p) for c, p in zip(known, corrected, strict=True)]


def opponents(results: Results) -> list[str]:
    """Baseline and reference, as far as the grid names them."""
    names = (results.grid.baseline, results.grid.reference)
    return list(dict.fromkeys(name for name in names if name is not None))


def _compare(results: Results, group: Group, entry: str, against: str, measure: str) -> Comparison | None:
    other = results.group_of(group, against)
    if other is None:
        return None
    ours, theirs = results.values(group, entry, measure), results.values(other, against, measure)
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    return Comparison(
        group,
        entry,
        against,
        measure,
        len(seeds),
        t_interval(differences),
        p=permutation_test(differences),
        corrected=math.nan,
        agree=all(d > 0 for d in differences) or all(d < 0 for d in differences),
        images=image_interval(results, (group, entry), (other, against), seeds, measure),
    )


def out_of_reach(comparisons: Sequence[Comparison]) -> tuple[int, float] | None:
    """Say whether so few seeds can show nothing, whatever the differences are.

    Returns:
        most seeds of a comparison, and the smallest corrected p that they can reach; None where that is
        below `LEVEL`
    """
    if not comparisons:
        return None
    seeds = max(comparison.seeds for comparison in comparisons)
    smallest = min(1.0, len(comparisons) * smallest_p(seeds))
    return None if smallest < LEVEL else (seeds, smallest)
