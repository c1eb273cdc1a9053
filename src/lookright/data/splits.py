"""Which images train, validate and test: from split.csv, from folders, or made; and subsets of them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lookright.data.annotations import AnnotationSet, Item, Problem
from lookright.data.layout import Photo, Photos
from lookright.data.split_csv import Row, read_split_csv
from lookright.errors import DataError

TEST_SHARE = 0.2
VAL_SHARE = 0.2


def label_photos(photos: Photos) -> tuple[tuple[str, ...], list[Item], list[Problem]]:
    """Give every photo its class and split: split.csv first, then the folders, then made splits.

    Made splits do not depend on the seed of a run, so that training and evaluation agree on them.

    Returns:
        class names in the order of their labels (sorted), the items without marks, and the problems
    """
    table = photos.root / "split.csv"
    rows: list[Row | None]
    if table.is_file():
        listed, problems = read_split_csv(table)
        found, rows, more = _match(listed, photos, table)
        problems += more
    else:
        found, problems = list(photos.all), []
        rows = [None] * len(found)

    entries: list[tuple[Photo, str, str | None, str | None]] = []
    for photo, row in zip(found, rows, strict=True):
        class_name = (row.class_name if row else None) or photo.class_name
        if class_name is None:
            remedy = "put it into images/<class>/, or name its class in split.csv"
            problems.append(Problem(photo.path, "an image without class", remedy, fatal=True))
            continue
        split = (row.split if row else None) or photo.split
        entries.append((photo, class_name, split, row.group if row else None))

    classes = tuple(sorted({class_name for _, class_name, _, _ in entries}))
    made = make_splits({photo.id: class_name for photo, class_name, split, _ in entries if split is None})
    items = [
        Item(photo.id, photo.path, classes.index(class_name), split or made[photo.id], group)
        for photo, class_name, split, group in entries
    ]
    return classes, items, problems + _class_problems(photos.root, classes, items)


def _match(
    rows: Sequence[Row], photos: Photos, table: Path
) -> tuple[list[Photo], list[Row | None], list[Problem]]:
    """Photos of the rows of split.csv, each once."""
    problems: list[Problem] = []
    taken: dict[str, Row] = {}
    found: list[Photo] = []
    used: list[Row | None] = []
    known = {row.class_name for row in rows}
    for row in rows:
        matches = photos.find(row.file)
        where = f"line {row.line}: {row.file}"
        if len(matches) != 1:
            what = "does not exist" if not matches else f"can mean {len(matches)} images"
            remedy = (
                "add the image or delete the line" if not matches else "write its path below the data folder"
            )
            problems.append(Problem(table, f"{where} {what}", remedy, fatal=True))
            continue
        photo = matches[0]
        before = taken.get(photo.id)
        if before is not None:
            same = (before.class_name, before.split) == (row.class_name, row.split)
            what = f"{where} stands in line {before.line} already" + (
                "" if same else ", with another class or split"
            )
            problems.append(Problem(table, what, "delete one of the two lines", fatal=not same))
            continue
        if row.class_name and photo.class_name in known and photo.class_name != row.class_name:
            what = f"{where} is of class {row.class_name!r}, but lies in the folder {photo.class_name!r}"
            problems.append(Problem(table, what, "split.csv counts; move the image or correct the line"))
        taken[photo.id] = row
        found.append(photo)
        used.append(row)
    left_out = [photo for photo in photos.all if photo.id not in taken]
    if left_out and rows:
        what = f"{len(left_out)} images are not listed and left out, for instance {left_out[0].id}"
        problems.append(Problem(table, what, "add lines for them if they are to be used"))
    return found, used, problems


def make_splits(classes: dict[str, str], *, seed: int = 0) -> dict[str, str]:
    """Make splits 60/20/20 within each class.

    The order that is cut is that of a hash of seed and id: it depends on no other image, so that adding a
    few images moves few others. A class of two has one in train and one in test, a class of one is in train.

    Args:
        classes: id -> class
        seed: another seed, another split

    Returns:
        id -> train, val or test

    Example:
        >>> sorted(Counter(make_splits({f"{i}.jpg": "cat" for i in range(10)}).values()).items())
        [('test', 2), ('train', 6), ('val', 2)]
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for id_, class_name in classes.items():
        by_class[class_name].append(id_)
    splits = {}
    for ids in by_class.values():
        ids.sort(key=lambda id_: _shuffle_key(seed, id_))
        n_test = max(1, round(TEST_SHARE * len(ids))) if len(ids) > 1 else 0
        n_val = max(1, round(VAL_SHARE * len(ids))) if len(ids) > 2 else 0
        for position, id_ in enumerate(ids):
            splits[id_] = "test" if position < n_test else "val" if position < n_test + n_val else "train"
    return splits


def choose_subsets(
    annotation_set: AnnotationSet,
    *,
    seed: int,
    annotated_per_class: int | None = None,
    train_per_class: int | None = None,
) -> AnnotationSet:
    """Keep fewer training images, or the annotations of fewer of them. Other splits stay as they are.

    For one seed the choices are nested: the 10 of N = 10 are among the 25 of N = 25. Where both numbers
    are given, the images that keep their annotation are kept first.

    Args:
        annotation_set: all splits
        seed: another seed, another choice
        annotated_per_class: keep the marks of this many training images per class; those of the other
            training images are dropped, the images stay. A class without any marks is left as it is.
        train_per_class: keep this many training images per class

    Raises:
        DataError: a number is negative, or a class has fewer images (annotated images) than asked for.
    """
    for name, wanted in (("annotated_per_class", annotated_per_class), ("train_per_class", train_per_class)):
        if wanted is not None and wanted < (1 if name == "train_per_class" else 0):
            raise DataError(f"{name}: got {wanted}; give a positive number, or leave it out to use all")
    train = sorted(
        (item for item in annotation_set.items if item.split == "train"),
        key=lambda item: _shuffle_key(seed, item.id),
    )
    by_class: list[list[Item]] = [
        [item for item in train if item.label == label] for label in range(len(annotation_set.classes))
    ]
    annotated = [[item for item in items if item.marks is not None] for items in by_class]
    if annotated_per_class is not None:
        if train_per_class is not None and annotated_per_class > train_per_class:
            raise DataError(
                f"annotated_per_class: {annotated_per_class} of train_per_class = {train_per_class} images "
                "cannot be annotated; lower the first or raise the second"
            )
        # A class without any annotation is a way of annotating (only the diseased, say), not a shortage.
        available = [len(items) or annotated_per_class for items in annotated]
        _require(
            annotated_per_class, available, annotation_set, "annotated_per_class", "annotated training images"
        )
        annotated = [items[:annotated_per_class] for items in annotated]
    marked = {item.id for items in annotated for item in items}
    if train_per_class is not None:
        available = [len(items) for items in by_class]
        _require(train_per_class, available, annotation_set, "train_per_class", "training images")
        if annotated_per_class is not None:
            for items in by_class:
                items.sort(key=lambda item: item.id not in marked)  # stable: still shuffled within
        by_class = [items[:train_per_class] for items in by_class]
    kept = {item.id for items in by_class for item in items}
    chosen = tuple(
        item if item.split != "train" or item.id in marked else replace(item, marks=None)
        for item in annotation_set.items
        if item.split != "train" or item.id in kept
    )
    return replace(annotation_set, items=chosen)


def _require(
    wanted: int, available: Sequence[int], annotation_set: AnnotationSet, argument: str, what: str
) -> None:
    short = [
        f"{name!r} has {count}"
        for name, count in zip(annotation_set.classes, available, strict=True)
        if count < wanted
    ]
    if short:
        raise DataError(
            f"{argument}: {wanted} {what} per class were asked for in {annotation_set.root}, but "
            f"{', '.join(short)}; ask for fewer, or add some"
        )


def _class_problems(root: Path, classes: tuple[str, ...], items: Sequence[Item]) -> list[Problem]:
    problems = []
    counts = Counter((classes[item.label], item.split) for item in items)
    splits = sorted({item.split for item in items})
    if len(classes) == 1:
        remedy = "add at least one other class, each in its own folder"
        problems.append(Problem(root, f"there is only one class, {classes[0]!r}", remedy, fatal=True))
    for class_name in classes:
        total = sum(counts[class_name, split] for split in splits)
        if total == 1:
            remedy = "add more, or leave the class out: one image cannot both train and test"
            problems.append(Problem(root, f"class {class_name!r} has one image", remedy))
            continue
        missing = [split for split in splits if not counts[class_name, split]]
        if missing:
            what = f"class {class_name!r} has no image in {', '.join(missing)}"
            problems.append(Problem(root, what, "move some there: its accuracy cannot be measured otherwise"))
    return problems


def _shuffle_key(seed: int, id_: str) -> bytes:
    return hashlib.sha256(f"{seed}:{id_}".encode()).digest()
