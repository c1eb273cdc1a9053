"""The tables of the report: figures per method, reasonability matrices, options that differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lookright.metrics import Cell
from lookright.report.compare import MethodRuns, Spread, differing_options, option_text
from lookright.report.measures import measure_of
from lookright.report.runs import Run


@dataclass(frozen=True)
class Column:
    """A column of the table of figures."""

    title: str
    figure: str | None
    """name in metrics.json; None: training time"""
    meaning: str
    split: str | None = None
    """another split than the main one"""
    higher_is_better: bool = True
    decimals: int = 3

    def spread(self, method: MethodRuns) -> Spread:
        """The figure of a method over its seeds."""
        return method.seconds() if self.figure is None else method.spread(self.figure, self.split)

    def text(self, value: float) -> str:
        """A value of the column; a dash where it is undefined."""
        return f"{value:.{self.decimals}f}" if math.isfinite(value) else "–"


PERFORMANCE = (
    Column("Accuracy", "accuracy", "share of images whose class was predicted right"),
    Column("Balanced accuracy", "balanced_accuracy", "mean of the classes' accuracies"),
    Column("AUROC", "auroc", "how well probabilities rank the right class above the others; 0.5 is chance"),
    Column("Worst group", "worst_group_accuracy", "accuracy of the group that fares worst"),
    Column(
        "mAP",
        "mean_average_precision",
        "mean over the classes of the average precision: how well probabilities rank the images that show "
        "the class above the others",
    ),
    Column("Macro F1", "macro_f1", "mean over the classes of F1, a class counting as present from 0.5"),
    Column("Micro F1", "micro_f1", "F1 of all decisions of all classes together"),
    Column("Hamming accuracy", "hamming_accuracy", "share of the decisions, class by class, that are right"),
    Column("Worst group", "worst_group_hamming_accuracy", "Hamming accuracy of the group that fares worst"),
    Column("MAE", "mae", "mean absolute error, in the unit of the values", higher_is_better=False),
    Column("RMSE", "rmse", "root of the mean squared error", higher_is_better=False),
    Column("R²", "r2", "share of the variance that is predicted; 0 is what the mean reaches"),
    Column("Spearman", "spearman", "rank correlation of predicted and true values"),
    Column(
        "Worst group",
        "worst_group_mae",
        "mean absolute error of the group that fares worst",
        higher_is_better=False,
    ),
)
"""Those of all tasks: a column without a figure is left out."""
REASONABILITY = (
    Column("IoU", "iou", "area shared by explanation (above 0.5) and annotation, over that of both together"),
    Column(
        "Precision",
        "precision",
        "of the marked pixels that the explanation covers, the share marked relevant",
    ),
    Column("Recall", "recall", "share of the pixels marked relevant that the explanation covers"),
    Column("F1", "f1", "harmonic mean of precision and recall"),
    Column(
        "EPG", "epg", "share of the explanation's positive mass inside the annotation (energy pointing game)"
    ),
    Column("Pointing game", "pointing_game", "share of images whose highest cell lies inside the annotation"),
    Column(
        "Evidence outside",
        "evidence_outside",
        "logits: how far the cells outside the annotation can move the logit difference (docs/theory.md)",
        higher_is_better=False,
    ),
    Column(
        "Certified",
        "certified",
        "share of images whose prediction no scaling of the cells outside the annotation can change",
    ),
)
FAITHFULNESS = (
    Column(
        "Deletion",
        "deletion_auc",
        "mean probability of the predicted class while pixels are deleted, the map's highest first: low if "
        "the map shows what the network uses",
        higher_is_better=False,
    ),
    Column("Insertion", "insertion_auc", "the same while the pixels come back, the map's highest first"),
    Column("Unchanged", "unchanged_accuracy", "accuracy on the same images as they are"),
    Column(
        "Background swapped",
        "background_swap_accuracy",
        "accuracy where the background is that of an image of another class",
    ),
    Column(
        "Flips, swapped",
        "background_swap_flips",
        "share of the predictions that change with it",
        higher_is_better=False,
    ),
    Column(
        "Worst group, swapped",
        "worst_group_background_swap_accuracy",
        "accuracy with another background of the group that fares worst",
    ),
    Column(
        "Flips, blurred",
        "background_blur_flips",
        "share of the predictions that change where the background is blurred",
        higher_is_better=False,
    ),
    Column(
        "Flips, one colour",
        "background_mean_flips",
        "share of the predictions that change where the background is of one colour",
        higher_is_better=False,
    ),
    Column(
        "Flips, object removed",
        "object_removed_flips",
        "share of the predictions that change where the marked object is filled from around it",
    ),
)
"""Of runs evaluated with --faithfulness."""
SECONDS = Column("Seconds", None, "training time of one run", higher_is_better=False, decimals=0)


@dataclass(frozen=True)
class Entry:
    """A table cell."""

    mean: str
    sd: str
    n: str
    """images it rests on, where that is not in the column's head"""
    best: bool


@dataclass(frozen=True)
class FigureTable:
    """Methods x figures."""

    columns: tuple[Column, ...]
    counts: tuple[str, ...]
    """per column: the images that it rests on, where that is the same for all methods"""
    rows: tuple[tuple[MethodRuns, tuple[Entry, ...]], ...]


def figure_table(methods: Sequence[MethodRuns]) -> FigureTable:
    """Mean and sd over the seeds of each figure, the best of each column marked; without empty columns."""
    splits = dict.fromkeys(s for method in methods for run in method.runs for s in run.other_evaluations)
    measure = measure_of(methods[0].first)
    title = measure.name[0].upper() + measure.name[1:]
    others = [
        Column(
            f"{title} on {split}",
            measure.figure,
            f"{measure.name} on the split '{split}'",
            split=split,
            higher_is_better=measure.higher_is_better,
        )
        for split in splits
    ]
    return _table(methods, (*PERFORMANCE, *others, *REASONABILITY, SECONDS))


def faithfulness_table(methods: Sequence[MethodRuns]) -> FigureTable:
    """The same of what `lookright evaluate --faithfulness` measures; without columns where nothing was."""
    return _table(methods, FAITHFULNESS)


def _table(methods: Sequence[MethodRuns], columns: Sequence[Column]) -> FigureTable:
    columns = [column for column in columns if any(column.spread(method).defined for method in methods)]
    counts, entries = [], []
    for column in columns:
        spreads = [column.spread(method) for method in methods]
        sizes = {spread.n for spread in spreads if spread.n}
        counts.append(f"n = {sizes.pop()}" if len(sizes) == 1 else "")
        best = _best(spreads, column)
        entries.append(
            [
                Entry(
                    column.text(spread.mean),
                    f"± {column.text(spread.sd)}" if spread.seeds > 1 else "",
                    f"n = {spread.n}" if spread.n and not counts[-1] else "",
                    column.text(spread.mean) == best,
                )
                for spread in spreads
            ]
        )
    rows = tuple((method, tuple(cells[i] for cells in entries)) for i, method in enumerate(methods))
    return FigureTable(tuple(columns), tuple(counts), rows)


def _best(spreads: Sequence[Spread], column: Column) -> str | None:
    """The best value as it is shown; None where all show the same."""
    means = [spread.mean for spread in spreads if spread.defined]
    if len({column.text(mean) for mean in means}) < 2:
        return None
    return column.text(max(means) if column.higher_is_better else min(means))


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a reasonability matrix."""

    cell: Cell
    count: int
    """images, in the first seed"""
    share: float
    """of the annotated images of the first seed"""
    spread: Spread
    """the share over the seeds"""


@dataclass(frozen=True)
class Matrix:
    """The reasonability matrix of a method (Gao et al., GRADIA, CSCW 2022)."""

    method: MethodRuns
    images: int
    """annotated images that it counts"""
    cells: dict[Cell, MatrixCell]


def matrix(method: MethodRuns) -> Matrix:
    """Count the cells from per_image.csv, so that the numbers and the images behind them cannot differ."""
    counts = []
    for run in method.runs:
        cells = [result.cell for result in run.evaluation.results.values() if result.cell is not None]
        counts.append({cell: cells.count(cell) for cell in Cell})
    images = sum(counts[0].values())
    shares = {cell: [_share(count[cell], sum(count.values())) for count in counts] for cell in Cell}
    return Matrix(
        method,
        images,
        {
            cell: MatrixCell(cell, counts[0][cell], shares[cell][0], Spread.of(shares[cell], n=images))
            for cell in Cell
        },
    )


def _share(count: int, total: int) -> float:
    return count / total if total else math.nan


def differences(runs: Sequence[Run]) -> tuple[list[str], list[tuple[Run, list[str]]]]:
    """Names of the options that differ, and their values run by run."""
    names = [name for name in differing_options(runs) if name != "out"]
    rows = [(run, [option_text(run.options.get(name)) for name in names]) for run in runs]
    return names, rows


def common_options(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Options in which all runs agree."""
    apart = {*differing_options(runs), "out"}
    return [(name, option_text(value)) for name, value in runs[0].options.items() if name not in apart]
