"""What is in a data folder and what is wrong with it: opens every image and every annotation."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from operator import itemgetter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lookright.config import DataConfig
from lookright.data.agreement import Overlap, agree_pairwise, overlap
from lookright.data.align import fit_marks
from lookright.data.annotations import AnnotationSet, Area, Item, Marks, MaskFiles, Problem
from lookright.data.annotators import Annotators
from lookright.data.check_report import CheckReport, Count, Coverage
from lookright.data.images import Picture, open_picture
from lookright.data.masks import load_signed_mask
from lookright.data.readers import scan
from lookright.errors import DataError
from lookright.types import Task

_COUNTED = ("images", "annotated", "positive", "negative")


def check(config: DataConfig, *, progress: bool = True) -> CheckReport:
    """Read a data folder, open everything in it and list what is wrong. A broken file is listed, not raised.

    Args:
        config: as for `lookright.data.read_annotations`
        progress: show a bar, if on a terminal

    Raises:
        ConfigError: no data folder was named.
        DataError: there is no such folder, no image in it, or no annotation file where one was named.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=2, per_class_val=1, per_class_test=1
        ...     )
        ...     report = check(DataConfig(data=data), progress=False)
        >>> report.problems
        ()
    """
    found = scan(config)
    problems = list(found.problems)
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    shares: dict[str, list[float]] = {"positive": [], "negative": []}
    sizes: Counter[tuple[int, int]] = Counter()
    same_bytes: dict[bytes, list[Item]] = defaultdict(list)

    annotators: Counter[str] = Counter()
    several = annotated = graded = 0
    overlaps: dict[tuple[str, str], dict[str, Overlap]] = defaultdict(dict)

    for item in tqdm(found.items, "checking", unit="image", disable=None if progress else True):
        marks = item.marks_by_class if found.task is Task.MULTI_LABEL else _unless_none(item)
        for label in item.labels or (item.label,):
            counts[label, item.split]["images"] += 1
        for label in marks:
            counts[label, item.split]["annotated"] += 1
        people = [set(one.names) for one in marks.values() if isinstance(one, Annotators)]
        annotators.update(set().union(*people))
        several += any(len(names) > 1 for names in people)
        annotated += item.annotated
        try:
            picture = open_picture(item.path)
            same_bytes[hashlib.sha256(item.path.read_bytes()).digest()].append(item)
        except (DataError, OSError) as error:
            problems.append(_from_error(error, item.path))
            continue
        sizes[picture.image.size] += 1
        problems += _picture_problems(item, picture)
        has_grades = False
        for label, one in marks.items():
            try:
                sides = _sides(one, item, picture, problems)
            except DataError as error:
                problems.append(_from_error(error, *one.files, item.path))
                continue
            if isinstance(one, Annotators):
                named = f"{item.id} ({found.classes[label]})" if item.labels else item.id
                for pair, of_pair in _overlaps(one):
                    overlaps[pair][named] = of_pair
            for name, side in sides.items():
                has_grades |= bool(((side > 0) & (side < 1)).any())
                share = float((side > 0).mean())
                if share > 0:
                    counts[label, item.split][name] += 1
                    shares[name].append(share)
        graded += has_grades

    problems += _duplicates(same_bytes.values())
    values = [item.value for item in found.items if item.value is not None]
    return CheckReport(
        data=found.root,
        classes=found.classes,
        counts=tuple(
            Count(class_name, split, **{name: counts[label, split][name] for name in _COUNTED})
            for label, class_name in _rows(found, {label for label, _ in counts})
            for split in found.splits
        ),
        positive=_coverage(shares["positive"]),
        negative=_coverage(shares["negative"]),
        sizes=dict(sizes.most_common()),
        problems=tuple(sorted(dict.fromkeys(problems), key=lambda p: (not p.fatal, str(p.path), p.what))),
        task=found.task,
        annotated=annotated,
        graded=graded,
        annotators=dict(sorted(annotators.items())),
        by_several=several,
        agreement=agree_pairwise(overlaps),
        values=(min(values), max(values)) if values else None,
    )


def _unless_none(item: Item) -> dict[int, Marks]:
    return {} if item.marks is None else {item.label: item.marks}


def _rows(found: AnnotationSet, counted: set[int]) -> list[tuple[int, str]]:
    """The classes, and what images without one are counted as."""
    rows = list(enumerate(found.classes))
    if -1 in counted:
        rows.append((-1, "(all)" if found.task is Task.REGRESSION else "(no label)"))
    return rows


def _picture_problems(item: Item, picture: Picture) -> Iterator[Problem]:
    if picture.frames > 1:
        what = f"an animation or stack of {picture.frames} frames"
        yield Problem(item.path, what, "the first one is used; save that one if another is meant")
    if picture.orientation > 1:
        what = f"turned upright by its EXIF orientation {picture.orientation}"
        ambiguous = item.annotated and (
            not picture.swaps_axes or picture.stored_size[0] == picture.stored_size[1]
        )
        remedy = (
            "marks are taken to be drawn on the upright image: see that they are"
            if ambiguous
            else "nothing to do"
        )
        yield Problem(item.path, what, remedy)


def _sides(marks: Marks, item: Item, picture: Picture, problems: list[Problem]) -> dict[str, Area]:
    """Both sides of the marks; what is odd about them goes to `problems`.

    Raises:
        DataError: they cannot be read or do not fit the image.
    """
    files = marks.files

    def note(what: str, remedy: str) -> None:
        problem = (
            Problem(files[0], what, remedy)
            if files
            else Problem(item.path, f"its annotation: {what}", remedy)
        )
        problems.append(problem)

    positive, negative = marks.sides()
    height, width = positive.shape
    fit = fit_marks((width, height), picture, marks, item.id)
    if fit.rescaled:
        upright = picture.image.size
        note(f"drawn at {width} x {height} on an image of {upright[0]} x {upright[1]}", "it is rescaled")
    if fit.turned:
        note("drawn on the image before its EXIF rotation", "it is turned with the image")
    both = int(((positive > 0) & (negative > 0)).sum())
    if both:
        note(
            f"positive and negative at once in {both} pixels",
            "what is equal counts as unmarked; clear one side there",
        )
    nothing = not positive.any() and not negative.any()
    if nothing and isinstance(marks, Annotators) and len(marks.marks) > 1:
        how = marks.combination.value
        note(
            f"nothing is left where {len(marks.marks)} annotators are combined by {how!r}",
            "nothing to do if they disagree, or marked nothing; see also the option 'combine'",
        )
    elif nothing:
        note("empty", "mark something, or delete it: an empty annotation still counts as annotated")
    for name, side in (("positive", positive), ("negative", negative)):
        if isinstance(marks, MaskFiles) and (side > 0).mean() > 0.5 and _looks_signed(files[0]):
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


def _overlaps(marks: Annotators) -> Iterator[tuple[tuple[str, str], Overlap]]:
    """How every two annotators of one annotation overlap, their names in order."""
    drawn = {name: one.render() > 0 for name, one in zip(marks.names, marks.marks, strict=True)}
    for (one, ours), (other, theirs) in combinations(sorted(drawn.items(), key=itemgetter(0)), 2):
        of_pair = overlap(ours, theirs)
        if of_pair:
            yield (one, other), of_pair


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
            if (other.label, other.labels, other.value) != (first.label, first.labels, first.value):
                kind = "class" if first.label >= 0 else "label" if first.value is None else "value"
                remedy = f"keep the {kind} that is right"
                yield Problem(other.path, f"the same image as {first.id}, of another {kind}", remedy)
            elif other.split != first.split:
                what = f"the same image as {first.id}, but in {other.split} and that in {first.split}"
                yield Problem(other.path, what, "keep it in one split: test figures are too good otherwise")
            else:
                yield Problem(other.path, f"the same image as {first.id}", "keep one of the two")


def _coverage(shares: list[float]) -> Coverage | None:
    if not shares:
        return None
    return Coverage(len(shares), float(np.mean(shares)), min(shares), max(shares))
