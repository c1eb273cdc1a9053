"""Plots of an experiment: how they look, and performance against reasonability."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lookright.evidence.compare import mean_of
from lookright.evidence.reading import LOWER_IS_BETTER
from lookright.evidence.report_tables import UNBOUNDED, measure_name, shown_cells
from lookright.evidence.results import Group, Results, typical_cost
from lookright.evidence.statistics import Interval
from lookright.evidence.table import Row
from lookright.files import replacing

PANELS = 6
"""more groups than these get no panels"""
# Okabe and Ito's colours, told apart by most colour-blind readers; without yellow, which is pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
INK, PALE = "#333333", "#dddddd"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot."""

    name: str
    """of its file, without ending"""
    alt: str
    """what it shows, for those who do not see it"""
    caption: str
    figure: Figure

    def save(self, path: Path) -> None:
        """Write it as PNG.

        Raises:
            DataError: it cannot be written.
        """
        with replacing(path) as temporary, style():
            self.figure.savefig(temporary, format="png", dpi=140, metadata={"Software": None})


@contextmanager
def style() -> Iterator[None]:
    """How all plots look."""
    with mpl.rc_context(_STYLE):
        yield


def look_of(index: int) -> dict[str, Any]:
    """Colour and marker of an entry: no two of 70 have both alike."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def entry_looks(results: Results) -> dict[str, dict[str, Any]]:
    """Colour and marker of every entry, the same in all plots of a page."""
    return {entry.label: look_of(i) for i, entry in enumerate(results.grid.axes[results.grid.compare])}


def pareto(results: Results) -> Plot | None:
    """Performance against reasonability, a panel per group; None where one is lacking, or for many groups."""
    if len(results.groups) > PANELS:
        return None
    panels = [
        (group, x, y)
        for group in results.groups
        if (x := results.agreement(group)) and (y := results.performance(group))
    ]
    if not panels:
        return None
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    looks, costs = entry_looks(results), _costs(results)
    timed, untimed = any(costs.values()), not all(costs.values())
    with style():
        figure = Figure(
            figsize=(3.5 * columns + 1.9, max(3.1 * lines + 0.2, legend_height(len(costs)))),
            layout=ConstrainedLayoutEngine(w_pad=0.1),
        )
        grid = figure.subplots(lines, columns, squeeze=False)
        fronts = []
        for axes, (group, x, y) in zip(grid.flat, panels, strict=False):
            front = _panel(axes, results, group, (x, y), looks, costs)
            fronts.append(f"{group.title}: {', '.join(front)}")
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        figure.legend(
            handles=[
                handle(_named(entry, costs[entry]), look) for entry, look in looks.items() if entry in costs
            ],
            loc="outside right upper",
            frameon=False,
            title="entry, one run" if timed else "entry",
        )
    return Plot(
        "pareto",
        f"Performance against reasonability. Not surpassed in both, {'; '.join(fronts)}.",
        "Performance against reasonability: up and to the right is better. Bars are 95 % intervals over "
        f"seeds{'; larger markers took longer to train' * timed}"
        f"{' (those without seconds were not timed)' * (timed and untimed)}. The dashed line joins the "
        "entries whose means no other surpasses in both; which of them differ clearly is in the tests.",
        figure,
    )


def _panel(
    axes: Axes,
    results: Results,
    group: Group,
    measures: tuple[str, str],
    looks: dict[str, dict[str, Any]],
    costs: dict[str, float],
) -> list[str]:
    """Draw a group; gives what no other surpasses."""
    points: dict[str, tuple[Interval, Interval]] = {}
    for of, entry, _ in shown_cells(results, group):
        x, y = (mean_of(results, of, entry, measure) for measure in measures)
        if x.n and y.n:
            points[entry] = x, y
    dearest = max(costs.values()) or 1.0
    for entry, (x, y) in points.items():
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=_half(x),
            yerr=_half(y),
            markersize=5 + 4 * math.sqrt((costs[entry] or dearest / 4) / dearest),
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=0.8,
            alpha=0.9,
            **looks[entry],
        )
    signs = [-1 if measure in LOWER_IS_BETTER else 1 for measure in measures]
    front = unsurpassed({e: (signs[0] * x.mean, signs[1] * y.mean) for e, (x, y) in points.items()})
    means = [(points[entry][0].mean, points[entry][1].mean) for entry in front]
    axes.plot(*zip(*means, strict=True), color="#777777", linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
    axes.set_title(group.title)
    axes.set_xlabel(axis_title(measures[0]))
    axes.set_ylabel(axis_title(measures[1]))
    if signs[1] < 0:
        axes.invert_yaxis()
    axes.grid(visible=True)
    axes.margins(0.08)
    if measures[0] not in UNBOUNDED:
        axes.set_xlim(*_shares(axes.get_xlim()))
    if measures[1] not in UNBOUNDED:
        axes.set_ylim(*_shares(axes.get_ylim()))
    return front


def unsurpassed(points: dict[str, tuple[float, float]]) -> list[str]:
    """Those that no other one surpasses in one value and at least equals in the other, by the first value.

    Example:
        >>> unsurpassed({"a": (0.1, 0.9), "b": (0.3, 0.8), "c": (0.2, 0.7), "d": (0.3, 0.6)})
        ['a', 'b']
    """
    front = [
        name
        for name, (x, y) in points.items()
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points.values())
    ]
    return sorted(front, key=lambda name: points[name])


def axis_title(measure: str) -> str:
    """Name of a measure for an axis."""
    return measure_name(measure) + " (less is better)" * (measure in LOWER_IS_BETTER)


def _shares(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits of an axis of shares: an interval of two seeds may leave [0, 1], and hide where means differ."""
    return max(limits[0], -0.02), min(limits[1], 1.02)


def _half(interval: Interval) -> float | None:
    return interval.half if interval.n > 1 else None


def _costs(results: Results) -> dict[str, float]:
    """Entry with a finished run -> seconds of one, over all groups; 0 where none was timed."""
    rows: dict[str, list[Row]] = {}
    for group in results.groups:
        for entry in results.entries(group):
            rows.setdefault(entry, []).extend(results.finished(group, entry))
    return {entry: typical_cost(of_entry) or 0.0 for entry, of_entry in rows.items() if of_entry}


def _named(entry: str, seconds: float) -> str:
    if not seconds:
        return entry
    return f"{entry}, {seconds:.1f} s" if seconds < 9.95 else f"{entry}, {seconds:.0f} s"


def legend_height(entries: int) -> float:
    """How high a figure must be for its legend, in inches."""
    return 0.23 * (entries + 2)


def handle(label: str, look: dict[str, Any], line: Literal["-", "--", "none"] = "none") -> Line2D:
    """What a legend shows of an entry."""
    return Line2D([], [], label=label, linestyle=line, markersize=7, markeredgecolor="white", **look)
