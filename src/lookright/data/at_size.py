"""A photo and its marks, brought to the side of the square that a network sees."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookright.data.align import align, align_marks
from lookright.data.annotations import Area, Item, Matrix
from lookright.data.images import Frame
from lookright.resize import resize_annotation


def made_marks(item: Item) -> Matrix | None:
    """The marks of an image that a program has made."""
    return item.marks if isinstance(item.marks, Matrix) and item.marks.made else None


def drawn_marks(item: Item, photo: Frame) -> list[tuple[int, Area | None]]:
    """Each annotated class and its annotation; one that is None where there is none."""
    if item.marks_by_class:
        by_class = sorted(item.marks_by_class.items())
        return [(label, align_marks(marks, photo, item.id)) for label, marks in by_class]
    return [(item.label, align(item, photo))]


def resize_photo(image: Image.Image, side: int) -> Tensor:
    """Give the pixels, (3, side, side) uint8."""
    # Pillow's bilinear filter widens when it shrinks: that is the antialiasing.
    square = image.resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def resize_marks(signed: Area | None, side: int) -> Tensor:
    """Give the marks (1, side, side), zeros where nothing is annotated."""
    if signed is None:
        return torch.zeros(1, side, side, dtype=torch.int8)
    return as_whole(resize_annotation(torch.from_numpy(signed)[None, None], (side, side))[0])


def as_whole(marks: Tensor) -> Tensor:
    """The same in int8, where that can hold it."""
    whole = marks.round().to(torch.int8)
    return whole if torch.equal(whole.float(), marks) else marks
