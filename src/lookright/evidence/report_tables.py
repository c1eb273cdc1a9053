"""The tables of a report of an experiment, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lookright.evidence.compare import Comparison, Verdict, mean_of
from lookright.evidence.reading import FACT, LOWER_IS_BETTER
from lookright.evidence.results import Group, Results, typical_cost
from lookright.evidence.statistics import Interval
from lookright.evidence.table import number

_NAMES = {
    "iou": "IoU",
    "f1": "F1",
    "epg": "EPG",
    "auroc": "AUROC",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "mean_average_precision": "mAP",
}
UNBOUNDED = ("mae", "rmse")
"""in the unit of what is predicted; the others are shares or close to them"""
_MARKS = {Verdict.BETTER: " ▲", Verdict.WORSE: " ▼", Verdict.UNCLEAR: ""}


def measure_name(measure: str) -> str:
    """How a measure is called in headings.

    Example:
        >>> measure_name("iou"), measure_name("worst_group_accuracy")
        ('IoU', 'Worst group accuracy')
    """
    return _NAMES.get(measure) or measure.removeprefix(FACT).replace("_", " ").capitalize()


def report_measures(results: Results, group: Group) -> list[str]:
    """Measures of a group's table: those that the grid names, and the worst group where there are groups."""
    there = results.measures(group)
    named = [measure for measure in results.grid.report if measure in there]
    worst = "worst_group_accuracy"
    return named if worst in named or worst not in there else [*named, worst]


def shown_cells(results: Results, group: Group) -> list[tuple[Group, str, str]]:
    """Rows of a group's table: group and entry, and what the row is called.

    A baseline that is run in another group, because it would be the same in this one, comes first.
    """
    cells = [(group, entry, entry) for entry in results.entries(group)]
    baseline = results.grid.baseline
    if baseline is None or baseline in results.entries(group):
        return cells
    other = results.group_of(group, baseline)
    if other is None:
        return cells
    apart = [label for axis, label in other.labels.items() if label != group.labels[axis]]
    return [(other, baseline, f"{baseline} ({', '.join(apart)})"), *cells]


def means_table(results: Results, group: Group, comparisons: Sequence[Comparison]) -> list[str]:
    """Entries x measures: mean ± half of the interval, the best mean bold, clear differences marked."""
    measures = report_measures(results, group)
    cells = shown_cells(results, group)
    heads = [f"{measure_name(m)}{' (less is better)' * (m in LOWER_IS_BETTER)}" for m in measures]
    rows = [[escaped(results.grid.compare), *heads, "Annotated", "Seconds", "Seeds"]]
    columns = [[mean_of(results, of, entry, m) for of, entry, _ in cells] for m in measures]
    best = [_best(column, m) for column, m in zip(columns, measures, strict=True)]
    for i, (of, entry, label) in enumerate(cells):
        shown = [escaped(label)]
        for j, measure in enumerate(measures):
            interval = columns[j][i]
            text = mean_text(interval, measure)
            text = (
                f"**{text}**" if best[j] is not None and figure(interval.mean, measure) == best[j] else text
            )
            shown.append(text + _mark(comparisons, group, entry, measure, results.grid.baseline))
        done = results.finished(of, entry)
        annotated = [number(row, "annotated_images") for row in done]
        seconds = typical_cost(done)
        shown += [_about(annotated), "–" if seconds is None else f"{seconds:.1f}", str(len(done))]
        rows.append(shown)
    return markdown_table(rows)


def about_images(results: Results, group: Group) -> str:
    """How many images trained and tested."""
    rows = [row for entry in results.entries(group) for row in results.finished(group, entry)]
    told = []
    for column in ("train_images", "test_images"):
        counts = sorted({int(n) for row in rows if math.isfinite(n := number(row, column))})
        if counts:
            ends = dict.fromkeys(str(counts[i]) for i in (0, -1))
            told.append(f"{' to '.join(ends)} images to {column.partition('_')[0]}")
    return f"{', '.join(told)}." if told else ""


def paired_table(comparisons: Sequence[Comparison]) -> list[str]:
    """The paired tests of a group."""
    rows = [["Entry", "Against", "Measure", "Difference", "95 % over seeds", "95 % over images", "p", "Holm"]]
    for c in comparisons:
        corrected = f"**{p_text(c.corrected)}**" if c.verdict is not Verdict.UNCLEAR else p_text(c.corrected)
        rows.append(
            [
                escaped(c.entry),
                escaped(c.against),
                measure_name(c.measure),
                signed(c.difference.mean, c.measure),
                limits(c.difference, c.measure),
                "–" if c.images is None else limits(c.images, c.measure),
                p_text(c.p),
                corrected,
            ]
        )
    return markdown_table(rows, texts=3)


def markdown_table(rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Lines of a table; the first row is its head, the first columns are texts, the others numbers."""
    head, *body = rows
    rule = "|" + "---|" * texts + "---:|" * (len(head) - texts)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in body)]


def mean_text(interval: Interval, measure: str) -> str:
    """A mean with half of its interval, or a dash.

    Example:
        >>> mean_text(Interval(0.72, 0.67, 0.77, 3), "iou")
        '0.720 ± 0.050'
        >>> mean_text(Interval(0.72, math.nan, math.nan, 1), "iou")
        '0.720'
    """
    if interval.n == 0:
        return "–"
    half = f" ± {figure(interval.half, measure)}" if interval.n > 1 else ""
    return figure(interval.mean, measure) + half


def figure(value: float, measure: str) -> str:
    """A value of a measure, to be shown."""
    return f"{value:.4g}" if measure in UNBOUNDED else f"{value:.3f}"


def signed(value: float, measure: str) -> str:
    """A difference, with its sign."""
    return f"{value:+.4g}" if measure in UNBOUNDED else f"{value:+.3f}"


def limits(interval: Interval, measure: str) -> str:
    """Both limits of an interval of a difference, or a dash."""
    if not math.isfinite(interval.low):
        return "–"
    return f"{signed(interval.low, measure)} to {signed(interval.high, measure)}"


def p_text(p: float) -> str:
    """A p value.

    Example:
        >>> p_text(0.0469), p_text(0.00004), p_text(1.0)
        ('0.047', '<0.001', '1')
    """
    if math.isnan(p):
        return "–"
    return "<0.001" if p < 0.001 else "1" if p == 1 else f"{p:.3f}"


def escaped(text: str) -> str:
    """Text that breaks no table."""
    return text.replace("|", "\\|")


def _best(column: Sequence[Interval], measure: str) -> str | None:
    """The best mean as it is shown; None where all show the same, or nobody says what is better."""
    if measure.startswith(FACT):
        return None
    means = [interval.mean for interval in column if interval.n]
    if len({figure(mean, measure) for mean in means}) < 2:
        return None
    return figure(min(means) if measure in LOWER_IS_BETTER else max(means), measure)


def _mark(
    comparisons: Sequence[Comparison], group: Group, entry: str, measure: str, baseline: str | None
) -> str:
    key = group, entry, baseline, measure
    return next(
        (_MARKS[c.verdict] for c in comparisons if (c.group, c.entry, c.against, c.measure) == key), ""
    )


def _about(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return f"{sum(known) / len(known):.0f}" if known else "–"
