"""The photos of an audit, with the labels that the model knows; photos without any label are fine."""

from __future__ import annotations

from dataclasses import replace

from lookright.config import DataConfig
from lookright.data import AnnotationSet, read_annotations
from lookright.data.layout import find_photos
from lookright.data.splits import is_labelled, without_labels
from lookright.engine.run_data import warn_of_problems
from lookright.engine.run_images import matching
from lookright.engine.trained_run import ExplainedClassifier, TrainedRun
from lookright.errors import ConfigError
from lookright.types import Task

UNKNOWN = -1
"""Label of a photo whose class the model does not know, or nobody has said."""


def read_photos(config: DataConfig) -> AnnotationSet:
    """Read a data folder, or a folder of photos that nobody has labelled.

    Raises:
        ConfigError: the labels are not one class per image.
        DataError: it cannot be used.
    """
    photos = find_photos(config.data)
    if is_labelled(photos):
        found = read_annotations(config)
        if found.task is not Task.SINGLE_LABEL:
            raise ConfigError(
                f"data: an audit needs one class per image; the labels of {found.root} are for a "
                f"{found.task.value} task"
            )
        warn_of_problems(found)
        return found
    return without_labels(photos)


def of_split(found: AnnotationSet, split: str | None, model: ExplainedClassifier) -> AnnotationSet:
    """Choose the images that are audited, and bring their labels to the order of the model's classes.

    Args:
        found: all images
        split: which; by default all, and of the data that a run was trained on those of its test
        model: whose classes

    Raises:
        ConfigError: a model of another task.
        DataError: no such split, or classes that a run does not know.
    """
    if model.output.task is not Task.SINGLE_LABEL:
        raise ConfigError(
            f"model: an audit needs a classifier of one class per image; the task of this one is "
            f"{model.output.task.value}"
        )
    if split is None:
        split = "test" if isinstance(model, TrainedRun) and "test" in found.splits else "all"
    chosen = found if split == "all" else found.split(split)
    if isinstance(model, TrainedRun) and found.classes:
        return matching(chosen, model)
    return _known(chosen, model.classes)


def _known(found: AnnotationSet, classes: tuple[str, ...]) -> AnnotationSet:
    """Labels by name, as far as the model knows it; ImageNet's names are several with commas between."""
    index: dict[str, int] = {}
    for label, names in enumerate(classes):
        for name in (names, *names.split(",")):
            index.setdefault(_plain(name), label)
    to = [index.get(_plain(name), UNKNOWN) for name in found.classes]
    items = tuple(replace(item, label=to[item.label] if item.label >= 0 else UNKNOWN) for item in found.items)
    return replace(found, classes=classes, items=items)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")
