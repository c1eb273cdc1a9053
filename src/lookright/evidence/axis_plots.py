"""Plots over one axis of a grid: curves over the number of annotations, maps of what rough ones change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from lookright.evidence.compare import mean_of
from lookright.evidence.grid import Grid
from lookright.evidence.plots import PANELS, Plot, axis_title, entry_looks, handle, legend_height, style
from lookright.evidence.reading import LOWER_IS_BETTER
from lookright.evidence.report_tables import figure as told
from lookright.evidence.report_tables import measure_name
from lookright.evidence.results import Group, Results, axis_of, entry_of
from lookright.evidence.statistics import Interval, t_interval
from lookright.evidence.table import number


@dataclass(frozen=True)
class Series:
    """Groups that differ in one axis alone."""

    title: str
    """what they share"""
    groups: dict[str, Group]
    """label on the axis -> group"""


def series_of(results: Results, axis: str) -> list[Series]:
    """Sort groups by what they share beside an axis."""
    found: dict[tuple[str, ...], Series] = {}
    for group in results.groups:
        rest = Group({name: label for name, label in group.labels.items() if name != axis})
        series = found.setdefault(rest.key, Series(rest.title, {}))
        series.groups[group.labels[axis]] = group
    return list(found.values())


def budget_curves(results: Results) -> Plot | None:
    """Both measures over the number of annotated images, where an axis sets `annotated_per_class`."""
    axis = axis_of(results.grid, "annotated_per_class")
    if axis is None:
        return None
    series = [one for one in series_of(results, axis) if len(one.groups) > 1][:PANELS]
    measures = _both(results)
    if not series or not measures:
        return None
    with style():
        looks = entry_looks(results)
        height = max(2.9 * len(measures), legend_height(len(looks)))
        figure = Figure(figsize=(3.9 * len(series) + 1.8, height), layout="constrained")
        grid = figure.subplots(len(measures), len(series), squeeze=False)
        for row, measure in zip(grid, measures, strict=True):
            for axes, one in zip(row, series, strict=True):
                _curves(axes, results, one, measure, looks)
        for axes, one in zip(grid[0], series, strict=True):
            axes.set_title(one.title if len(series) > 1 else "")
        plain = results.grid.baseline
        handles = [handle(entry, look, "--" if entry == plain else "-") for entry, look in looks.items()]
        figure.legend(handles=handles, loc="outside right upper", frameon=False, title=results.grid.compare)
    names = " and ".join(measure_name(measure) for measure in measures)
    return Plot(
        "budget",
        f"{names} over the number of annotated images, a line per entry.",
        f"{names} over the number of annotated images (logarithmic). Bars are 95 % intervals over seeds; "
        "entries stand a little beside each other.",
        figure,
    )


def _curves(axes: Axes, results: Results, series: Series, measure: str, looks: dict[str, Any]) -> None:
    ticks = set()
    for i, (entry, look) in enumerate(looks.items()):
        points = []
        for group in series.groups.values():
            at = _annotated(results, group)
            there = results.group_of(group, entry)  # plain training counts whatever the annotations
            mean = mean_of(results, there or group, entry, measure)
            if mean.n and at:
                points.append((at, mean))
        points.sort(key=lambda point: point[0])
        ticks |= {at for at, _ in points}
        beside = 1.02 ** (i - (len(looks) - 1) / 2)
        axes.errorbar(
            [at * beside for at, _ in points],
            [mean.mean for _, mean in points],
            yerr=[0 if math.isnan(mean.half) else mean.half for _, mean in points],
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.3,
            linestyle="--" if entry == results.grid.baseline else "-",
            elinewidth=0.7,
            **look,
        )
    axes.set_visible(bool(ticks))  # a measure that is not of this data, say: no groups
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("annotated images")
    axes.set_ylabel(axis_title(measure))
    axes.grid(visible=True, axis="y")


def _annotated(results: Results, group: Group) -> float:
    rows = [row for entry in results.entries(group) for row in results.finished(group, entry)]
    counts = [n for row in rows if math.isfinite(n := number(row, "annotated_images"))]
    return sum(counts) / len(counts) if counts else 0.0


def corruption_maps(results: Results) -> list[Plot]:
    """What rough annotations change, where an axis sets `corrupt`: by itself, and beside the reference."""
    axis = axis_of(results.grid, "corrupt")
    if axis is None:
        return []
    plots = []
    all_series = series_of(results, axis)
    for i, series in enumerate(all_series):
        name = f"-{i + 1}" if len(all_series) > 1 else ""
        of = f" ({series.title})" if len(all_series) > 1 else ""
        good = next((label for label in series.groups if is_good(results.grid, axis, label)), None)
        if good is not None:
            plots += _lost_map(results, series, good, name, of)
        if results.grid.reference is not None:
            plots += _beside_map(results, series, results.grid.reference, name, of)
    return plots


def is_good(grid: Grid, axis: str, label: str) -> bool:
    """Whether an entry of an axis leaves annotations as they are."""
    return entry_of(grid, axis, label).options.get("corrupt") is None


def _lost_map(results: Results, series: Series, good: str, name: str, of: str) -> list[Plot]:
    def lost(entry: str, label: str, measure: str) -> Interval:
        return _paired(results, (series.groups[label], entry), (series.groups[good], entry), measure)

    columns = [label for label in series.groups if label != good]
    return _map(
        results,
        columns,
        lost,
        f"corruption{name}",
        f"What rough annotations change{of}: with them, minus with '{good}', entry by entry.",
    )


def _beside_map(results: Results, series: Series, reference: str, name: str, of: str) -> list[Plot]:
    def beside(entry: str, label: str, measure: str) -> Interval:
        group = series.groups[label]
        if entry == reference:
            return t_interval([])
        other = results.group_of(group, entry) or group
        return _paired(results, (other, entry), (group, reference), measure)

    return _map(
        results,
        list(series.groups),
        beside,
        f"beside-reference{name}",
        f"Each entry minus {reference}, under the same annotations{of}: where what {reference} has and the "
        "entry lacks earns its place, the entry is worse.",
    )


def _paired(results: Results, one: tuple[Group, str], other: tuple[Group, str], measure: str) -> Interval:
    ours, theirs = results.values(*one, measure), results.values(*other, measure)
    return t_interval([ours[seed] - theirs[seed] for seed in ours if seed in theirs])


def _both(results: Results) -> list[str]:
    """Measures of performance and reasonability that some group has."""
    found = [m for group in results.groups for m in (results.performance(group), results.agreement(group))]
    return list(dict.fromkeys(measure for measure in found if measure is not None))


_NARROW = 4
"""maps of so few columns stand beside each other"""
Difference = Callable[[str, str, str], Interval]
"""of an entry, a label of the axis and a measure"""


def _map(
    results: Results, columns: Sequence[str], difference: Difference, name: str, caption: str
) -> list[Plot]:
    """Draw differences as a map of colours and numbers, a part per measure; nothing where there are none."""
    measures = _both(results)
    entries = [entry.label for entry in results.grid.axes[results.grid.compare]]
    tables = {m: [[difference(e, label, m) for label in columns] for e in entries] for m in measures}
    rows = [i for i in range(len(entries)) if any(cell.n for m in measures for cell in tables[m][i])]
    if not rows or not columns:
        return []
    beside = len(columns) <= _NARROW
    parts = (1, len(measures)) if beside else (len(measures), 1)
    width = 0.6 + 0.08 * max(map(len, entries)) + max(0.55 * len(columns), 1.4) * parts[1]
    height = 0.8 + (0.5 + 0.29 * len(rows)) * parts[0]
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(*parts, squeeze=False, sharex=True, sharey=True)
        for axes, measure in zip(grid.flat, measures, strict=True):
            _colours(axes, [tables[measure][i] for i in rows], measure)
            axes.set_yticks(range(len(rows)), [entries[i] for i in rows])
            axes.set_title(measure_name(measure), loc="left")
            axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    note = (
        " Purple is better, orange is worse; bold: the 95 % interval over seeds, not corrected, leaves out 0."
    )
    return [Plot(name, caption, caption + note, figure)]


def _colours(axes: Axes, table: Sequence[Sequence[Interval]], measure: str) -> None:
    means = np.array([[cell.mean if cell.n else np.nan for cell in row] for row in table])
    sign = -1 if measure in LOWER_IS_BETTER else 1
    reach = float(np.nanmax(np.abs(means))) if np.isfinite(means).any() else 0.0
    reach = reach or 1.0
    image = axes.imshow(sign * means, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    for y, row in enumerate(table):
        for x, cell in enumerate(row):
            if cell.n:
                red, green, blue, _ = image.cmap((sign * cell.mean / reach + 1) / 2)
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
                apart = cell.low > 0 or cell.high < 0
                axes.text(
                    *(x, y, _short(cell.mean, measure)),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if dark else "black",
                    fontweight="bold" if apart else "normal",
                )
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _short(value: float, measure: str) -> str:
    """A difference in a small cell.

    Example:
        >>> _short(-0.0312, "iou"), _short(0.0, "iou"), _short(12.5, "mae")
        ('−.031', '.000', '12.5')
    """
    text = told(abs(value), measure)
    return "−" * (value < 0 and float(text) > 0) + (text.removeprefix("0") or "0")
