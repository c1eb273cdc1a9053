"""Reading annotations as people have them. A new format is one file here and one line in `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lookright.config import DataConfig, Format
from lookright.data.annotations import AnnotationSet, Marks, Problem
from lookright.data.layout import Photos, find_photos
from lookright.data.readers.annotators import annotator_places, read_annotators
from lookright.data.readers.coco import read_coco
from lookright.data.readers.folders import read_folders
from lookright.data.readers.labelme import read_labelme
from lookright.data.readers.res import read_res
from lookright.data.readers.voc import read_voc
from lookright.data.splits import label_photos
from lookright.errors import DataError

Reader = Callable[[Photos, DataConfig], tuple[dict[str, Marks], list[Problem]]]
"""Takes the photos and the options; gives the marks by photo id, and what is wrong.

A reader opens the files of annotations, not the photos, and raises only where there is nothing to read.
"""

READERS: dict[Format, Reader] = {
    "folders": read_folders,
    "coco": read_coco,
    "voc": read_voc,
    "labelme": read_labelme,
    "res": read_res,
}

_SHOWN = 3


def read_annotations(config: DataConfig) -> AnnotationSet:
    """Read the photos, labels, splits and annotations of a data folder. No photo is opened yet.

    Args:
        config: `data`, `annotations`, `format` and the categories count here

    Returns:
        all splits; `problems` holds what is worth knowing and does not stop training

    Raises:
        DataError: something that must not be passed over: the first of it, and how to see the rest.
    """
    found = scan(config)
    fatal = [problem for problem in found.problems if problem.fatal]
    if fatal:
        more = f" | and {len(fatal) - _SHOWN} more" if len(fatal) > _SHOWN else ""
        raise DataError(
            " | ".join(map(str, fatal[:_SHOWN])) + f"{more} | 'lookright check {found.root}' lists everything"
        )
    return found


def scan(config: DataConfig) -> AnnotationSet:
    """Read like `read_annotations`, but leave fatal problems in the list too: for `lookright check`.

    Raises:
        ConfigError: no data folder was named, or the format is not known.
        DataError: there is no data folder, no image in it, or no annotation file where one was named.
    """
    photos = find_photos(config.data)
    classes, items, problems = label_photos(photos)
    marks, more = read_marks(photos, config)
    return AnnotationSet(
        root=photos.root,
        classes=classes,
        items=tuple(replace(item, marks=marks.get(item.id)) for item in items),
        problems=(*problems, *more),
    )


def read_marks(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read the marks in `config.format`, of one annotator or of several (`annotators/`)."""
    read = partial(READERS[config.format], photos)
    places = annotator_places(config, photos.root)
    return read_annotators(read, places, config) if places else read(config)
