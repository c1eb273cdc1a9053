"""Reading the data sets that others are made of: photos with their marks at the photo's own size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.data.align import align_marks
from lookright.data.annotations import AnnotationSet, Area, Item
from lookright.data.images import open_picture
from lookright.data.layout import SPLIT_NAMES
from lookright.data.readers import read_annotations
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import PrepareConfig
from lookright.types import Task


@dataclass(frozen=True)
class MarkedPhoto:
    """A photo and what is marked on it, upright and at one size."""

    image: Image.Image
    """RGB"""
    positive: Area | None
    """(H, W) in [0, 1]; None: nobody has annotated it"""
    negative: Area | None

    @property
    def marked(self) -> NDArray[np.bool_]:
        """(H, W): where anything is marked, on either side."""
        if self.positive is None or self.negative is None:
            return np.zeros(self.image.size[::-1], dtype=bool)
        return (self.positive > 0) | (self.negative > 0)


def read_source(config: PrepareConfig, folder: Path | None = None, flag: str = "from") -> AnnotationSet:
    """Read a data set with one class per image.

    Args:
        config: its options of a data folder say how the annotations are written
        folder: another data folder than `config.source`
        flag: name of the option that names it, for messages

    Raises:
        ConfigError: no folder was named, or its images have several labels or numbers.
        DataError: as `read_annotations`
    """
    folder = config.source if folder is None else folder
    if folder is None:
        raise ConfigError(f"{flag}: missing; give the data folder to read")
    found = read_annotations(replace(config, data=folder))
    if found.task is not Task.SINGLE_LABEL:
        raise ConfigError(f"{flag}: {folder} is a {found.task.value} task; give images of one class each")
    if len(found.classes) < 2:
        raise DataError(f"{flag}: {folder} has one class; at least two are needed")
    return found


def open_marked(item: Item) -> MarkedPhoto:
    """Open a photo with its marks. Marks of another size are brought to that of the photo.

    Raises:
        DataError: the photo or its annotation cannot be read, or they do not fit.
    """
    picture = open_picture(item.path)
    if item.marks is None:
        return MarkedPhoto(picture.image, None, None)
    signed = align_marks(item.marks, picture, item.id)
    if signed.shape != picture.image.size[::-1]:
        resized = Image.fromarray(signed).resize(picture.image.size, Image.Resampling.NEAREST)
        signed = np.asarray(resized)
    return MarkedPhoto(picture.image, signed.clip(0, 1), (-signed).clip(0, 1))


def own_name(item: Item, class_name: str) -> str:
    """File name of an image in a set made of its own: what folders say of class and split is not repeated.

    Example:
        >>> own_name(Item("images/train/cat/b/1.jpg", Path("1.jpg"), 0, "train"), "cat")
        'b__1.jpg'
    """
    parts = list(PurePosixPath(item.id).parts)
    if len(parts) > 1 and parts[0] == "images":
        del parts[0]
    if len(parts) > 2 and SPLIT_NAMES.get(parts[0].lower()) == item.split:
        del parts[0]
    if len(parts) > 1 and parts[0] == class_name:
        del parts[0]
    return "__".join(parts)


def generator_of(seed: int, purpose: str, id_: str) -> np.random.Generator:
    """Random numbers of one image: they depend on no other image, nor on the order."""
    digest = hashlib.sha256(f"{seed}:{purpose}:{id_}".encode(errors="surrogateescape")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def free_corners(marked: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Where a square has nothing marked below it.

    Args:
        marked: (H, W)
        side: of the square in pixels

    Returns:
        (n, 2): row and column of its upper left corner, each of the n places

    Example:
        >>> free_corners(np.array([[0, 0, 1], [0, 0, 0]], dtype=bool), 2).tolist()
        [[0, 0]]
    """
    height, width = marked.shape
    if side > min(height, width):
        return np.empty((0, 2), dtype=np.intp)
    total = np.zeros((height + 1, width + 1), dtype=np.int64)
    total[1:, 1:] = marked.cumsum(axis=0).cumsum(axis=1)
    below = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return np.argwhere(below == 0)
