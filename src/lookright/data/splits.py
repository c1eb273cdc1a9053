"""What each image shows and which split it is in: from a table, from folders, or made."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lookright.data.annotations import AnnotationSet, Item, Problem
from lookright.data.layout import Photo, Photos
from lookright.data.tables import LABELS_CSV, SPLIT_CSV, Row, read_labels_csv, read_split_csv
from lookright.types import Task

TEST_SHARE = 0.2
VAL_SHARE = 0.2


def label_photos(photos: Photos) -> AnnotationSet:
    """Give every photo its class and split: the table first, then the folders, then made splits.

    The table is split.csv, or labels.csv, whose columns decide the task: `labels` multi-label, `value`
    regression. Made splits do not depend on the seed of a run, so that training and evaluation agree on them.

    Returns:
        items without marks; class names in the order of their labels (sorted); the problems
    """
    task, found, rows, problems = _rows(photos)
    entries: list[tuple[Photo, tuple[str, ...], Row]] = []
    for photo, row in zip(found, rows, strict=True):
        names = row.labels
        if task is Task.SINGLE_LABEL:
            class_name = row.class_name or photo.class_name
            if class_name is None:
                remedy = "put it into images/<class>/, or name its class in split.csv"
                problems.append(Problem(photo.path, "an image without class", remedy, fatal=True))
                continue
            names = (class_name,)
        entries.append((photo, names, replace(row, split=row.split or photo.split)))

    counts = Counter(name for _, names, _ in entries for name in names)
    classes = tuple(sorted(counts))
    # An image of several classes is shared out with those of its rarest one.
    made = make_splits(
        {
            photo.id: min(names, key=lambda name: (counts[name], name), default="")
            for photo, names, row in entries
            if row.split is None
        }
    )
    items = []
    for photo, names, row in entries:
        labels = tuple(classes.index(name) for name in names)
        item = Item(photo.id, photo.path, -1, row.split or made[photo.id], row.group)
        if task is Task.SINGLE_LABEL:
            item = replace(item, label=labels[0])
        items.append(replace(item, labels=labels if task is Task.MULTI_LABEL else (), value=row.value))
    more = _value_problems(photos.root, items) if task is Task.REGRESSION else []
    if task is not Task.REGRESSION:
        more = _class_problems(photos.root, task, classes, items)
    return AnnotationSet(photos.root, classes, tuple(items), (*problems, *more), task)


def is_labelled(photos: Photos) -> bool:
    """Whether a table or a folder says of any photo what it shows."""
    tables = any((photos.root / name).is_file() for name in (LABELS_CSV, SPLIT_CSV))
    return tables or any(photo.class_name is not None for photo in photos.all)


def without_labels(photos: Photos) -> AnnotationSet:
    """Give photos that nobody has labelled: label -1, and the split that their folder says, if any."""
    items = tuple(Item(photo.id, photo.path, -1, photo.split or "") for photo in photos.all)
    return AnnotationSet(photos.root, (), items)


def _rows(photos: Photos) -> tuple[Task, list[Photo], list[Row], list[Problem]]:
    """The photos that are used, and the row of each."""
    table, labels_table = photos.root / SPLIT_CSV, photos.root / LABELS_CSV
    task = Task.SINGLE_LABEL
    if labels_table.is_file():
        task, listed, problems = read_labels_csv(labels_table)
        if table.is_file():
            remedy = "move its columns split and group into labels.csv, and remove it"
            problems.append(
                Problem(table, "stands beside labels.csv, which counts alone", remedy, fatal=True)
            )
        table = labels_table
    elif table.is_file():
        listed, problems = read_split_csv(table)
    else:
        return task, list(photos.all), [Row(0, photo.id, None, None) for photo in photos.all], []
    found, rows, more = _match(listed, photos, table)
    return task, found, rows, problems + more


def _match(rows: Sequence[Row], photos: Photos, table: Path) -> tuple[list[Photo], list[Row], list[Problem]]:
    """Photos of the rows of a table, each once."""
    problems: list[Problem] = []
    taken: dict[str, Row] = {}
    found: list[Photo] = []
    used: list[Row] = []
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
            same = replace(before, group=None) == replace(row, group=None)
            other = "another class or split" if table.name == SPLIT_CSV else "something else"
            what = f"{where} stands in line {before.line} already" + ("" if same else f", with {other}")
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
        ids.sort(key=lambda id_: shuffle_key(seed, id_))
        n_test = max(1, round(TEST_SHARE * len(ids))) if len(ids) > 1 else 0
        n_val = max(1, round(VAL_SHARE * len(ids))) if len(ids) > 2 else 0
        for position, id_ in enumerate(ids):
            splits[id_] = "test" if position < n_test else "val" if position < n_test + n_val else "train"
    return splits


def _class_problems(root: Path, task: Task, classes: tuple[str, ...], items: Sequence[Item]) -> list[Problem]:
    problems = []
    counts = Counter(
        (classes[label], item.split) for item in items for label in item.labels or (item.label,) if label >= 0
    )
    splits = sorted({item.split for item in items})
    if task is Task.MULTI_LABEL and not classes and items:
        remedy = "name the classes in its column 'labels', with ; between"
        problems.append(Problem(root / LABELS_CSV, "no image has a label", remedy, fatal=True))
    if task is Task.SINGLE_LABEL and len(classes) == 1:
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


def _value_problems(root: Path, items: Sequence[Item]) -> list[Problem]:
    if not items or len({item.value for item in items}) > 1:
        return []
    what = f"every image has the value {items[0].value:g}"
    return [Problem(root / LABELS_CSV, what, "there is nothing to learn: see the column 'value'", fatal=True)]


def shuffle_key(seed: int, id_: str) -> bytes:
    """What images are ordered by, to be chosen from: a hash, so that no image's place depends on others."""
    # A file name need not be text; Python then has it with surrogates.
    return hashlib.sha256(f"{seed}:{id_}".encode("utf-8", "surrogateescape")).digest()
