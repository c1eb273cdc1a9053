"""Fewer training images, or the annotations of fewer of them: for learning curves."""

from __future__ import annotations

from dataclasses import replace

from lookright.data.annotations import AnnotationSet, Item
from lookright.data.splits import shuffle_key
from lookright.errors import DataError
from lookright.types import Task

_ALL = -1
"""The one class of a regression, whose numbers then count all training images."""


def choose_subsets(
    annotation_set: AnnotationSet,
    *,
    seed: int,
    annotated_per_class: int | None = None,
    train_per_class: int | None = None,
) -> AnnotationSet:
    """Keep fewer training images, or the annotations of fewer of them. Other splits stay as they are.

    For one seed the choices are nested: the 10 of N = 10 are among the 25 of N = 25. Where both numbers
    are given, the images that keep their annotation are kept first. With several labels per image an image
    counts for each of its classes, and may be kept for the sake of any; with a number to predict all images
    count as one class.

    Args:
        annotation_set: all splits
        seed: another seed, another choice
        annotated_per_class: keep the marks of this many training images per class; those of the other
            training images are dropped, the images stay. A class without any marks is left as it is.
        train_per_class: keep this many training images per class

    Raises:
        DataError: a number is negative, or a class has fewer images (annotated images) than asked for.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.config import DataConfig
        >>> from lookright.data import read_annotations, write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=2, per_class_val=1, per_class_test=1
        ...     )
        ...     found = read_annotations(DataConfig(data=data))
        >>> len(choose_subsets(found, seed=0, train_per_class=1).split("train").items)
        10
    """
    for name, wanted in (("annotated_per_class", annotated_per_class), ("train_per_class", train_per_class)):
        if wanted is not None and wanted < (1 if name == "train_per_class" else 0):
            raise DataError(f"{name}: got {wanted}; give a positive number, or leave it out to use all")
    task = annotation_set.task
    train = sorted(
        (item for item in annotation_set.items if item.split == "train"),
        key=lambda item: shuffle_key(seed, item.id),
    )
    names = {_ALL: "all images"} if task is Task.REGRESSION else dict(enumerate(annotation_set.classes))
    by_class = {label: [item for item in train if label in _labels(item, task)] for label in names}
    annotated = {label: [item for item in train if label in _annotated_labels(item, task)] for label in names}
    if annotated_per_class is not None:
        if train_per_class is not None and annotated_per_class > train_per_class:
            raise DataError(
                f"annotated_per_class: {annotated_per_class} of train_per_class = {train_per_class} images "
                "cannot be annotated; lower the first or raise the second"
            )
        # A class without any annotation is a way of annotating (only the diseased, say), not a shortage.
        available = {names[label]: len(items) or annotated_per_class for label, items in annotated.items()}
        _require(
            annotated_per_class, available, annotation_set, "annotated_per_class", "annotated training images"
        )
        annotated = {label: items[:annotated_per_class] for label, items in annotated.items()}
    marked = {(item.id, label) for label, items in annotated.items() for item in items}
    if train_per_class is not None:
        available = {names[label]: len(items) for label, items in by_class.items()}
        _require(train_per_class, available, annotation_set, "train_per_class", "training images")
        for label, items in by_class.items():
            if annotated_per_class is not None:
                items.sort(key=lambda item, of=label: (item.id, of) not in marked)  # type: ignore[misc]  # bound
            by_class[label] = items[:train_per_class]
        kept = {item.id for items in by_class.values() for item in items}
    else:
        kept = {item.id for item in train}
    chosen = tuple(
        _keep_marks(item, marked, task) if item.split == "train" else item
        for item in annotation_set.items
        if item.split != "train" or item.id in kept
    )
    return replace(annotation_set, items=chosen)


def _labels(item: Item, task: Task) -> tuple[int, ...]:
    if task is Task.MULTI_LABEL:
        return item.labels
    return (_ALL if task is Task.REGRESSION else item.label,)


def _annotated_labels(item: Item, task: Task) -> tuple[int, ...]:
    if task is Task.MULTI_LABEL:
        return tuple(item.marks_by_class)
    return _labels(item, task) if item.marks is not None else ()


def _keep_marks(item: Item, marked: set[tuple[str, int]], task: Task) -> Item:
    if task is Task.MULTI_LABEL:
        kept = {label: marks for label, marks in item.marks_by_class.items() if (item.id, label) in marked}
        return item if len(kept) == len(item.marks_by_class) else replace(item, marks_by_class=kept)
    return (
        item
        if any((item.id, label) in marked for label in _labels(item, task))
        else replace(item, marks=None)
    )


def _require(
    wanted: int, available: dict[str, int], annotation_set: AnnotationSet, argument: str, what: str
) -> None:
    short = [f"{name!r} has {count}" for name, count in available.items() if count < wanted]
    if short:
        raise DataError(
            f"{argument}: {wanted} {what} per class were asked for in {annotation_set.root}, but "
            f"{', '.join(short)}; ask for fewer, or add some"
        )
