"""Say in one sentence per method what changed in performance and in reasonability. Pure functions."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookright.report.compare import MethodRuns, Spread
from lookright.report.measures import Measure, measure_of

DECOY_SPLIT = "test_decoy"
"""The split on which a shortcut still works, beside the main one where it does not."""

SHORTCUT_WARNING = "map looks right, model still uses the shortcut"

# A method is said to keep the shortcut while it loses more than half of what the baseline loses without it,
# and more than five points: less than that is in reach of chance on the few hundred images of a test split.
_KEPT_SHARE = 0.5
_KEPT_POINTS = 0.05


class Change(enum.Enum):
    """How a figure of a method compares with the baseline's."""

    UP = "up"
    DOWN = "down"
    NONE = "no clear difference"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Verdict:
    """What a method changed."""

    label: str
    sentence: str
    performance: Change | None
    """None where there is nothing to compare with"""
    reasonability: Change | None
    keeps_shortcut: bool = False


def change(ours: Spread, theirs: Spread, difference: NDArray[np.float64]) -> Change:
    """Judge a difference between two methods, cautiously.

    It is clear only where the two ranges mean ± sd over the seeds do not touch, and where it is more than
    twice its standard error over the images (each image against itself). With one seed the second alone
    holds.

    Args:
        ours: figure of the method
        theirs: figure of the baseline
        difference: (N,) ours - theirs per image, NaN where it is undefined

    Example:
        >>> few, many = np.array([0.0, 1.0]), np.tile([0.0, 1.0], 50)
        >>> ours, theirs = Spread(0.9, 0.02, 3, 100), Spread(0.4, 0.02, 3, 100)
        >>> change(ours, theirs, few).name, change(ours, theirs, many).name
        ('NONE', 'UP')
    """
    if not (ours.defined and theirs.defined):
        return Change.UNKNOWN
    gap = ours.mean - theirs.mean
    defined = difference[np.isfinite(difference)]
    error = float(np.std(defined, ddof=1)) / math.sqrt(len(defined)) if len(defined) > 1 else math.inf
    if gap == 0 or abs(gap) <= max(ours.sd + theirs.sd, 2 * error):
        return Change.NONE
    return Change.UP if gap > 0 else Change.DOWN


def headline(methods: Sequence[MethodRuns]) -> list[Verdict]:
    """One verdict per method against the baseline; without exactly one baseline, what each method reached."""
    baselines = [method for method in methods if method.is_baseline]
    if len(baselines) != 1:
        return [Verdict(method.label, _alone(method), None, None) for method in methods]
    baseline = baselines[0]
    own = Verdict(baseline.label, _alone(baseline), None, None)
    return [own if method is baseline else _against(method, baseline) for method in methods]


def keeps_shortcut(method: MethodRuns, baseline: MethodRuns) -> bool:
    """Whether the method still loses most of what the baseline loses where the shortcut is taken away.

    Needs an evaluation on `test_decoy` (shortcut kept) beside the main one (shortcut-free); without: False.
    """
    ours, theirs = _shortcut_gap(method), _shortcut_gap(baseline)
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        return False
    return ours > _KEPT_POINTS and ours > _KEPT_SHARE * theirs


def percent(spread: Spread) -> str:
    """A share as per cent with its spread.

    Example:
        >>> percent(Spread(0.7083, 0.025, 4, 256)), percent(Spread(0.5, 0.0, 1, 256))
        ('70.8 ± 2.5 %', '50.0 %')
    """
    sd = f" ± {100 * spread.sd:.1f}" if spread.seeds > 1 else ""
    return f"{100 * spread.mean:.1f}{sd} %"


def number(spread: Spread) -> str:
    """A figure with its spread.

    Example:
        >>> number(Spread(0.4912, 0.0101, 4, 256)), number(Spread(float("nan"), 0.0, 0, 0))
        ('0.491 ± 0.010', '–')
    """
    if not spread.defined:
        return "–"
    return f"{spread.mean:.3f} ± {spread.sd:.3f}" if spread.seeds > 1 else f"{spread.mean:.3f}"


def _against(method: MethodRuns, baseline: MethodRuns) -> Verdict:
    measure = measure_of(method.first)
    sign = 1 if measure.higher_is_better else -1
    performance = change(
        _signed(sign, method.spread(measure.figure)),
        _signed(sign, baseline.spread(measure.figure)),
        sign * (_shares(method, measure) - _shares(baseline, measure)),
    )
    reasonability = change(
        method.spread("iou"),
        baseline.spread("iou"),
        method.per_image(lambda r: r.iou) - baseline.per_image(lambda r: r.iou),
    )
    kept = reasonability is Change.UP and keeps_shortcut(method, baseline)
    sentence = (
        f"{_reasonability(reasonability, method, baseline)}; {_performance(performance, method, baseline)}"
        f" ({_seeds(method, baseline)})."
    )
    if math.isfinite(_shortcut_gap(method)):
        sentence += f" {_shortcut(method)} ({baseline.label}: {_kept_and_removed(baseline)})."
    return Verdict(method.label, sentence, performance, reasonability, kept)


def _reasonability(change: Change, method: MethodRuns, baseline: MethodRuns) -> str:
    figures = f"IoU {number(method.spread('iou'))} against {number(baseline.spread('iou'))}"
    match change:
        case Change.UP:
            return f"Looks more at the annotated region: {figures}"
        case Change.DOWN:
            return f"Looks less at the annotated region: {figures}"
        case Change.NONE:
            return f"No clear difference in where it looks: {figures}"
        case Change.UNKNOWN:
            return "Where it looks was not measured (no annotated image in this split)"


def _performance(change: Change, method: MethodRuns, baseline: MethodRuns) -> str:
    measure = measure_of(method.first)
    figures = f"{_told(method, measure)} against {_told(baseline, measure)}"
    better, worse = ("higher", "lower") if measure.higher_is_better else ("lower", "higher")
    match change:
        case Change.UP:
            return f"{measure.name} is {better}, {figures}"
        case Change.DOWN:
            return f"{measure.name} is {worse}, {figures}"
        case Change.NONE:
            return f"no clear difference in {measure.name}, {figures}"
        case Change.UNKNOWN:
            return f"{measure.name} was not measured"


def _shares(method: MethodRuns, measure: Measure) -> NDArray[np.float64]:
    """Each image's share in the measure, at its first result; NaN at others: no image counts twice."""
    run = method.first
    images = [result.image for result in run.evaluation.results.values()]
    _, first = np.unique(images, return_index=True)
    values = method.per_image(lambda result: measure.of(result, len(run.classes)))
    shares = np.full_like(values, np.nan)
    shares[first] = values[first]
    return shares


def _signed(sign: int, spread: Spread) -> Spread:
    return replace(spread, mean=sign * spread.mean)


def _told(method: MethodRuns, measure: Measure) -> str:
    spread = method.spread(measure.figure)
    return percent(spread) if measure.is_share else number(spread)


def _alone(method: MethodRuns) -> str:
    iou = method.spread("iou")
    where = (
        f"IoU of explanation and annotation {number(iou)} on {iou.n} {method.first.unit}"
        if iou.defined
        else "where it looks was not measured (no annotated image in this split)"
    )
    measure = measure_of(method.first)
    name = measure.name[0].upper() + measure.name[1:]
    sentence = f"{name} {_told(method, measure)}; {where} ({_seeds(method)})."
    return f"{sentence} {_shortcut(method)}." if math.isfinite(_shortcut_gap(method)) else sentence


def _shortcut(method: MethodRuns) -> str:
    return f"Accuracy with the shortcut kept and taken away: {_kept_and_removed(method)}"


def _kept_and_removed(method: MethodRuns) -> str:
    kept, removed = method.spread("accuracy", DECOY_SPLIT), method.spread("accuracy")
    return f"{100 * kept.mean:.1f} and {100 * removed.mean:.1f} %"


def _shortcut_gap(method: MethodRuns) -> float:
    return method.spread("accuracy", DECOY_SPLIT).mean - method.spread("accuracy").mean


def _seeds(*methods: MethodRuns) -> str:
    counts = [len(method.runs) for method in methods]
    if len(set(counts)) > 1:
        return " against ".join(f"{count} seed{'s' if count > 1 else ''}" for count in counts)
    count = counts[0]
    if count == 1:
        return "one seed"
    return f"{count} seeds each" if len(methods) > 1 else f"{count} seeds"
