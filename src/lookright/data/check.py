"""What is in a data folder and what is wrong with it: opens every image and every annotation."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lookright.config import DataConfig
from lookright.data.align import fit_marks
from lookright.data.annotations import Area, Item, MaskFiles, Problem
from lookright.data.images import Picture, open_picture
from lookright.data.masks import load_signed_mask
from lookright.data.readers import scan
from lookright.errors import DataError

_SHOWN_SIZES = 5
_SHOWN_PROBLEMS = 5
_COUNTED = ("images", "annotated", "positive", "negative")


@dataclass(frozen=True)
class Count:
    """How many images of one class and split there are, and what is marked on them."""

    class_name: str
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

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """Problems that keep training from starting."""
        return tuple(problem for problem in self.problems if problem.fatal)


def check(config: DataConfig, *, progress: bool = True) -> CheckReport:
    """Read a data folder, open everything in it and list what is wrong. A broken file is listed, not raised.

    Args:
        config: as for `lookright.data.read_annotations`
        progress: show a bar, if on a terminal

    Raises:
        ConfigError: no data folder was named.
        DataError: there is no such folder, no image in it, or no annotation file where one was named.
    """
    found = scan(config)
    problems = list(found.problems)
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    shares: dict[str, list[float]] = {"positive": [], "negative": []}
    sizes: Counter[tuple[int, int]] = Counter()
    same_bytes: dict[bytes, list[Item]] = defaultdict(list)

    for item in tqdm(found.items, "checking", unit="image", disable=None if progress else True):
        count = counts[item.label, item.split]
        count["images"] += 1
        count["annotated"] += item.marks is not None
        try:
            picture = open_picture(item.path)
            same_bytes[hashlib.sha256(item.path.read_bytes()).digest()].append(item)
        except (DataError, OSError) as error:
            problems.append(_from_error(error, item.path))
            continue
        sizes[picture.image.size] += 1
        problems += _picture_problems(item, picture)
        try:
            sides = _sides(item, picture, problems)
        except DataError as error:
            problems.append(_from_error(error, *(item.marks.files if item.marks else ()), item.path))
            continue
        for name, side in sides.items():
            share = float((side > 0).mean())
            if share > 0:
                count[name] += 1
                shares[name].append(share)

    problems += _duplicates(same_bytes.values())
    return CheckReport(
        data=found.root,
        classes=found.classes,
        counts=tuple(
            Count(class_name, split, **{name: counts[label, split][name] for name in _COUNTED})
            for label, class_name in enumerate(found.classes)
            for split in found.splits
        ),
        positive=_coverage(shares["positive"]),
        negative=_coverage(shares["negative"]),
        sizes=dict(sizes.most_common()),
        problems=tuple(sorted(dict.fromkeys(problems), key=lambda p: (not p.fatal, str(p.path), p.what))),
    )


def _picture_problems(item: Item, picture: Picture) -> Iterator[Problem]:
    if picture.frames > 1:
        what = f"an animation or stack of {picture.frames} frames"
        yield Problem(item.path, what, "the first one is used; save that one if another is meant")
    if picture.orientation > 1:
        what = f"turned upright by its EXIF orientation {picture.orientation}"
        ambiguous = item.marks is not None and (
            not picture.swaps_axes or picture.stored_size[0] == picture.stored_size[1]
        )
        remedy = (
            "marks are taken to be drawn on the upright image: see that they are"
            if ambiguous
            else "nothing to do"
        )
        yield Problem(item.path, what, remedy)


def _sides(item: Item, picture: Picture, problems: list[Problem]) -> dict[str, Area]:
    """Both sides of the marks; what is odd about them goes to `problems`.

    Raises:
        DataError: they cannot be read or do not fit the image.
    """
    if item.marks is None:
        return {}
    files = item.marks.files

    def note(what: str, remedy: str) -> None:
        problem = (
            Problem(files[0], what, remedy)
            if files
            else Problem(item.path, f"its annotation: {what}", remedy)
        )
        problems.append(problem)

    positive, negative = item.marks.sides()
    height, width = positive.shape
    fit = fit_marks((width, height), picture, item.marks, item.id)
    if fit.rescaled:
        upright = picture.image.size
        note(f"drawn at {width} x {height} on an image of {upright[0]} x {upright[1]}", "it is rescaled")
    if fit.turned:
        note("drawn on the image before its EXIF rotation", "it is turned with the image")
    both = int(((positive > 0) & (negative > 0)).sum())
    if both:
        note(
            f"positive and negative at once in {both} pixels", "they count as unmarked; clear one side there"
        )
    if not positive.any() and not negative.any():
        note("empty", "mark something, or delete it: an empty annotation still counts as annotated")
    for name, side in (("positive", positive), ("negative", negative)):
        if isinstance(item.marks, MaskFiles) and (side > 0).mean() > 0.5 and _looks_signed(files[0]):
            note(
                "grey values 0, 128 and 255",
                "if these are negative, unmarked and positive, move it to signed/",
            )
        elif (side == 1).all():
            note(
                f"full: every pixel is {name}",
                "mark only what matters; see that black and white are not swapped",
            )
    return {"positive": positive, "negative": negative}


def _looks_signed(mask: Path) -> bool:
    try:
        values = set(np.unique(load_signed_mask(mask)).tolist())
    except DataError:  # a coloured mask
        return False
    return {0.0, 1.0} <= values <= {-1.0, 0.0, 1.0}


def _from_error(error: Exception, path: Path, *others: Path) -> Problem:
    """Our messages read 'file: what; remedy'; other errors are the system's."""
    text = str(error)
    for file in (path, *others):
        if text.startswith(f"{file}: "):
            path, text = file, text.removeprefix(f"{file}: ")
            break
    what, found, remedy = text.rpartition("; ")
    return Problem(path, what if found else text, remedy if found else "check the file", fatal=True)


def _duplicates(groups: Iterable[list[Item]]) -> Iterator[Problem]:
    for items in groups:
        if len(items) < 2:
            continue
        first = items[0]
        for other in items[1:]:
            if other.label != first.label:
                remedy = "keep it in the class that is right"
                yield Problem(other.path, f"the same image as {first.id}, of another class", remedy)
            elif other.split != first.split:
                what = f"the same image as {first.id}, but in {other.split} and that in {first.split}"
                yield Problem(other.path, what, "keep it in one split: test figures are too good otherwise")
            else:
                yield Problem(other.path, f"the same image as {first.id}", "keep one of the two")


def _coverage(shares: list[float]) -> Coverage | None:
    if not shares:
        return None
    return Coverage(len(shares), float(np.mean(shares)), min(shares), max(shares))


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
        f"{report.data}: {sum(report.sizes.values())} readable images, {len(report.classes)} classes",
        "",
        *_table([header, *rows]),
        "",
        f"positive area: {_coverage_text(report.positive)}",
        f"negative area: {_coverage_text(report.negative)}",
        f"image sizes: {', '.join(sizes[:_SHOWN_SIZES]) or 'none'}{more}",
        "",
    ]
    remarks = len(report.problems) - len(report.fatal)
    if not report.problems:
        return "\n".join([*lines, "no problems found"])
    lines.append(f"{len(report.fatal)} problems that stop training, {remarks} remarks")
    return "\n".join([*lines, *_problem_lines(report.problems)])


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
