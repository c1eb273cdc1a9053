"""Training curves as inline SVG: one line per method, a band over its seeds, colours left to the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lookright.report.compare import MethodRuns

COLOURS = 8
"""Colours of methods that the style sheet has; further methods take them again with other dashes."""

DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""Lines are told apart by their dashes, too, for those who do not see the colours."""

# matplotlib writes colours into the SVG. These are replaced by the page's variables, so that the curves
# follow its light and dark scheme.
_INK = "#010203"
_GRID = "#010204"


@dataclass(frozen=True)
class Curve:
    """A training curve of the log."""

    column: str
    title: str
    share: bool
    """whether its values lie in [0, 1]"""


CURVES = (
    Curve("val_accuracy", "Validation accuracy", share=True),
    Curve("val_mean_average_precision", "Validation mean average precision", share=True),
    Curve("val_mae", "Validation mean absolute error", share=False),
    Curve("val_iou", "Validation IoU of explanation and annotation", share=True),
    Curve("loss", "Training loss", share=False),
)


@dataclass(frozen=True)
class Plot:
    """A drawn curve."""

    title: str
    description: str
    svg: str


def draw(methods: Sequence[MethodRuns]) -> list[Plot]:
    """Draw the curves that the logs have; a column that no run logged is left out."""
    plots = []
    for index, curve in enumerate(CURVES):
        series = {i: over_seeds(method, curve.column) for i, method in enumerate(methods)}
        series = {i: values for i, values in series.items() if values.size}
        if series:
            ends = "; ".join(
                f"{methods[i].label} ends at {_last(values):.3f}" for i, values in series.items()
            )
            description = f"{curve.title} per epoch: {ends}"
            plots.append(Plot(curve.title, description, _svg(curve, series, f"curve{index}")))
    return plots


def over_seeds(method: MethodRuns, column: str) -> NDArray[np.float64]:
    """Mean, lowest and highest value over the seeds per epoch, (3, epochs); (3, 0) where nothing was logged.

    Epochs that only some seeds reached (early stopping) rest on those.
    """
    logs = [run.log[column] for run in method.runs if column in run.log]
    values = np.full((len(logs), max(map(len, logs), default=0)), np.nan)
    for row, log in zip(values, logs, strict=True):
        row[: len(log)] = log
    if not np.isfinite(values).any():
        return np.empty((3, 0))
    curve = np.full((3, values.shape[1]), np.nan)
    known = np.isfinite(values).any(axis=0)
    curve[:, known] = [reduce(values[:, known], axis=0) for reduce in (np.nanmean, np.nanmin, np.nanmax)]
    return curve


def dash_array(index: int) -> str:
    """The dashes of method `index` as SVG writes them, for the legend: in units of the line's width, doubled.

    Example:
        >>> dash_array(0), dash_array(1)
        ('none', '10 4')
    """
    dash = DASHES[index % len(DASHES)]
    return "none" if isinstance(dash, str) else " ".join(f"{2 * length:g}" for length in dash[1])


def _last(values: NDArray[np.float64]) -> float:
    mean = values[0]
    return float(mean[np.isfinite(mean)][-1])


def _placeholder(index: int) -> str:
    return f"#0a0b{index % COLOURS:02x}"


def _svg(curve: Curve, series: dict[int, NDArray[np.float64]], prefix: str) -> str:
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "lookright",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": _INK,
        "axes.edgecolor": _GRID,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "grid.color": _GRID,
    }
    with mpl.rc_context(style):
        canvas = Canvas(figsize=(5.0, 2.9), layout="constrained")
        axes = canvas.add_subplot()
        for index, values in series.items():
            _line(axes, index, values)
        axes.grid(axis="y", linewidth=0.8)
        axes.tick_params(length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlabel("epoch")
        if curve.share:
            axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 1.0))
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), prefix)


def _line(axes: Axes, index: int, values: NDArray[np.float64]) -> None:
    known = np.isfinite(values[0])  # with --validate-every, not every epoch
    epochs = np.flatnonzero(known) + 1
    mean, low, high = values[:, known]
    colour = _placeholder(index)
    marker = "o" if len(mean) == 1 else None
    axes.plot(epochs, mean, color=colour, linewidth=1.8, linestyle=DASHES[index % len(DASHES)], marker=marker)
    if (high > low).any():
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)


def _for_page(svg: str, prefix: str) -> str:
    """Cut the SVG out of its XML document, give it the page's colours and ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head = r'<svg aria-hidden="true" focusable="false" \1>'
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', head, svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-")
    for index in range(COLOURS):
        svg = svg.replace(_placeholder(index), f"var(--method-{index})")
    return svg.replace(_INK, "var(--ink-soft)").replace(_GRID, "var(--rule)")
