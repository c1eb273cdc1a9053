"""What `lookright check` found, and how it says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookright.data.agreement import Agreement
from lookright.data.annotations import Problem
from lookright.types import Task

_SHOWN_SIZES = 5
_SHOWN_PROBLEMS = 5
_SHOWN_PAIRS = 10
_SHOWN_LEAST = 3


@dataclass(frozen=True)
class Count:
    """How many images of one class and split there are, and what is marked on them.

    With several labels per image, an image counts in each of its classes.
    """

    class_name: str
    """in parentheses where it is none: images without a label, or all images of a regression"""
    split: str
    images: int
    annotated: int
    positive: int
    """images with at least one positive pixel"""
    negative: int
    """images with at least one negative pixel"""


@dataclass(frozen=True)
class Coverage:
    """Share of the image that one side covers, over the images where it covers anything."""

    images: int
    mean: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class CheckReport:
    """What a data folder holds."""

    data: Path
    classes: tuple[str, ...]
    counts: tuple[Count, ...]
    """one for each class and split, in the order of both"""
    positive: Coverage | None
    """None if nothing is marked positive"""
    negative: Coverage | None
    sizes: dict[tuple[int, int], int]
    """(width, height) upright -> images, the most frequent first"""
    problems: tuple[Problem, ...]
    """fatal ones first, then by file"""
    task: Task = Task.SINGLE_LABEL
    annotated: int = 0
    """images with an annotation"""
    graded: int = 0
    """annotated images with marks between 0 and 1"""
    annotators: dict[str, int] = field(default_factory=dict)
    """name -> images that they annotated; empty where annotators are not told apart"""
    by_several: int = 0
    """images that several of them annotated"""
    agreement: tuple[Agreement, ...] = ()
    """of every two annotators who marked something positive on one image, those who agree least first"""
    values: tuple[float, float] | None = None
    """regression: smallest and largest number to predict"""

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """Problems that keep training from starting."""
        return tuple(problem for problem in self.problems if problem.fatal)


def format_report(report: CheckReport) -> str:
    """The report for the terminal: counts, coverage, sizes, then the problems, fatal first, kind by kind."""
    header = ("class", "split", "images", "annotated", "positive", "negative")
    rows = [
        (
            count.class_name,
            count.split,
            *map(str, (count.images, count.annotated, count.positive, count.negative)),
        )
        for count in report.counts
    ]
    sizes = [f"{width} x {height} ({count})" for (width, height), count in report.sizes.items()]
    more = f", {len(sizes) - _SHOWN_SIZES} other sizes" if len(sizes) > _SHOWN_SIZES else ""
    lines = [
        f"{report.data}: {sum(report.sizes.values())} readable images, {_task_text(report)}",
        "",
        *_table([header, *rows]),
        "",
        f"positive area: {_coverage_text(report.positive)}",
        f"negative area: {_coverage_text(report.negative)}",
        *_annotation_lines(report),
        f"image sizes: {', '.join(sizes[:_SHOWN_SIZES]) or 'none'}{more}",
        *_agreement_lines(report.agreement),
        "",
    ]
    remarks = len(report.problems) - len(report.fatal)
    if not report.problems:
        return "\n".join([*lines, "no problems found"])
    fatal = len(report.fatal)
    stopping = "1 problem that stops training" if fatal == 1 else f"{fatal} problems that stop training"
    lines.append(f"{stopping}, {remarks} remark{'' if remarks == 1 else 's'}")
    return "\n".join([*lines, *_problem_lines(report.problems)])


def _task_text(report: CheckReport) -> str:
    if report.values is not None:
        return f"a number to predict, from {report.values[0]:g} to {report.values[1]:g}"
    several = ", several per image" if report.task is Task.MULTI_LABEL else ""
    return f"{len(report.classes)} classes{several}"


def _annotation_lines(report: CheckReport) -> Iterator[str]:
    if report.graded:
        yield f"graded annotations: {report.graded} of {report.annotated}; the others are black and white"
    if report.annotators:
        people = ", ".join(f"{name} ({images})" for name, images in report.annotators.items())
        by_several = f"{report.by_several} of {report.annotated} annotated images by several"
        yield f"annotators, and the images of each: {people}; {by_several}"


def _agreement_lines(agreement: Sequence[Agreement]) -> Iterator[str]:
    """A table of pairs, and where each agrees least."""
    if not agreement:
        return
    shown = agreement[:_SHOWN_PAIRS]
    yield ""
    yield "agreement on what is positive, where both marked something so (IoU: mean over these images):"
    yield from _table(
        [
            ("annotator", "and", "images", "IoU", "kappa"),
            *(
                (
                    *pair.annotators,
                    str(pair.images),
                    f"{pair.iou:.2f}",
                    "-" if pair.kappa is None else f"{pair.kappa:.2f}",
                )
                for pair in shown
            ),
        ]
    )
    if len(agreement) > len(shown):
        yield f"... and {len(agreement) - len(shown)} more pairs, who agree better"
    for pair in shown:
        least = ", ".join(f"{image} ({iou:.2f})" for image, iou in pair.least[:_SHOWN_LEAST])
        yield f"least agreement of {' and '.join(pair.annotators)}: {least}"


def _problem_lines(problems: Sequence[Problem]) -> Iterator[str]:
    kinds: dict[tuple[bool, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.fatal, problem.remedy].append(problem)
    for (fatal, remedy), alike in kinds.items():
        yield ""
        yield f"{'STOPS TRAINING' if fatal else 'remark'}: {remedy}"
        for problem in alike[:_SHOWN_PROBLEMS]:
            yield f"  {problem.path}: {problem.what}"
        if len(alike) > _SHOWN_PROBLEMS:
            yield f"  ... and {len(alike) - _SHOWN_PROBLEMS} more of this kind"


def _coverage_text(coverage: Coverage | None) -> str:
    if coverage is None:
        return "nothing marked"
    return (
        f"{coverage.mean:.1%} of the image on average, {coverage.minimum:.1%} to {coverage.maximum:.1%} "
        f"(over {coverage.images} images)"
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need, names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if position < 2 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
