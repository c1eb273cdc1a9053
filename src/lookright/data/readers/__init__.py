"""Reading annotations as people have them. A new format is one file here and one line in `READERS`."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from lookright.config import DataConfig
from lookright.data.annotations import AnnotationSet, Marks, Problem
from lookright.data.layout import Photos, find_photos
from lookright.data.readers.annotators import annotator_places, read_annotators
from lookright.data.readers.coco import read_coco
from lookright.data.readers.cvat import read_cvat
from lookright.data.readers.folders import read_class_folders, read_folders
from lookright.data.readers.label_studio import read_label_studio
from lookright.data.readers.labelme import read_labelme
from lookright.data.readers.own import read_with
from lookright.data.readers.res import read_res
from lookright.data.readers.voc import read_voc
from lookright.data.shards import is_sharded
from lookright.data.splits import label_photos
from lookright.data.tables import LABELS_CSV
from lookright.errors import ConfigError, DataError
from lookright.plugins import is_dotted, unknown_name
from lookright.types import Task

Reader = Callable[[Photos, DataConfig], tuple[dict[str, Marks], list[Problem]]]
"""Takes the photos and the options; gives the marks by photo id, and what is wrong.

A reader opens the files of annotations, not the photos, and raises only where there is nothing to read.
"""

READERS: dict[str, Reader] = {
    "folders": read_folders,
    "coco": read_coco,
    "voc": read_voc,
    "labelme": read_labelme,
    "label-studio": read_label_studio,
    "cvat": read_cvat,
    "res": read_res,
}

_SHOWN = 3

K = TypeVar("K", bound=Hashable)


def read_annotations(config: DataConfig) -> AnnotationSet:
    """Read the photos, labels, splits and annotations of a data folder. No photo is opened yet.

    Args:
        config: `data`, `annotations`, `format` and the categories count here

    Returns:
        all splits; `problems` holds what is worth knowing and does not stop training

    Raises:
        DataError: something that must not be passed over: the first of it, and how to see the rest.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=2, per_class_val=1, per_class_test=1
        ...     )
        ...     found = read_annotations(DataConfig(data=data))
        >>> len(found.items), len(found.split("train").items), found.classes[:3]
        (50, 20, ('0', '1', '2'))
    """
    found = scan(config)
    refuse_fatal(found.problems, config)
    return found


def refuse_fatal(problems: Sequence[Problem], config: DataConfig) -> None:
    """Stop where a problem must not be passed over.

    Args:
        problems: all that were found
        config: what was read

    Raises:
        DataError: the first of the fatal ones, and how to see the rest.
    """
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        more = f" | and {len(fatal) - _SHOWN} more" if len(fatal) > _SHOWN else ""
        raise DataError(
            " | ".join(map(str, fatal[:_SHOWN])) + f"{more} | '{check_command(config)}' lists everything"
        )


def check_command(config: DataConfig) -> str:
    """The command that lists all that is wrong with what was read.

    Example:
        >>> from pathlib import Path
        >>> check_command(DataConfig(Path("pets"), Path("my marks.json"), "coco"))
        "lookright check pets --annotations 'my marks.json' --format coco"
    """
    words = ["lookright", "check", str(config.data)]
    words += ["--annotations", str(config.annotations)] if config.annotations else []
    words += ["--format", config.format] if config.format != DataConfig.format else []
    for name in ("positive_categories", "negative_categories"):
        values = getattr(config, name)
        words += [f"--{name.replace('_', '-')}", *values] if values else []
    return shlex.join(words)


def scan(config: DataConfig) -> AnnotationSet:
    """Read like `read_annotations`, but leave fatal problems in the list too: for `lookright check`.

    Raises:
        ConfigError: no data folder was named, or the format does not go with images of several labels.
        DataError: there is no data folder, no image in it, or no annotation file where one was named; or it
            holds shards.
    """
    if config.data is not None and is_sharded(config):
        raise DataError(
            f"{config.data}: holds shards, which can be trained on and evaluated, nothing else; give the "
            "data folder that they were packed from"
        )
    photos = find_photos(config.data)
    found = label_photos(photos)
    if found.task is Task.MULTI_LABEL:
        if config.format != "folders":
            raise ConfigError(
                f"format: got {config.format!r} for images of several labels ({LABELS_CSV}), whose "
                "annotations are read from masks/<class>/ alone; use the format 'folders'"
            )
        return _with_marks_by_class(found, photos, config)
    marks, problems = read_marks(photos, config)
    items = tuple(replace(item, marks=marks.get(item.id)) for item in found.items)
    return replace(found, items=items, problems=(*found.problems, *problems))


def read_marks(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """The marks of each photo, of one annotator or combined of several; labels and splits are not looked at.

    Args:
        photos: of the data folder
        config: `annotations`, `format`, the categories and `combine` count here

    Returns:
        photo id -> marks, and what is wrong

    Raises:
        ConfigError: an unknown format.
        DataError: there is no annotation file where one was named.
    """
    return _of_annotators(partial(_reader(config.format), photos), photos, config)


def _reader(name: str) -> Reader:
    if name in READERS:
        return READERS[name]
    if not is_dotted(name):
        raise unknown_name("format", name, READERS, "a reader of your own as module.function")
    return partial(read_with, name)


def _with_marks_by_class(found: AnnotationSet, photos: Photos, config: DataConfig) -> AnnotationSet:
    read = partial(read_class_folders, photos, found.classes)
    marks, problems = _of_annotators(read, photos, config)
    by_photo: dict[str, dict[int, Marks]] = defaultdict(dict)
    for (photo_id, label), of_class in marks.items():
        by_photo[photo_id][label] = of_class
    items = []
    for item in found.items:
        by_class = by_photo.get(item.id, {})
        items.append(replace(item, marks_by_class=by_class))
        for label in sorted(by_class.keys() - set(item.labels)):
            what = (
                f"{item.id} is marked as {found.classes[label]!r}, which {LABELS_CSV} does not say it shows"
            )
            file = next(iter(by_class[label].files), item.path)
            problems.append(Problem(file, what, "correct the line, or see that these marks are meant"))
    return replace(found, items=tuple(items), problems=(*found.problems, *problems))


def _of_annotators(
    read: Callable[[DataConfig], tuple[dict[K, Marks], list[Problem]]], photos: Photos, config: DataConfig
) -> tuple[dict[K, Marks], list[Problem]]:
    """Marks of one annotator, or of several (`annotators/`)."""
    places = annotator_places(config, photos.root)
    return read_annotators(read, places, config) if places else read(config)
