"""Bringing the marks of an image onto its upright pixels: other sizes, and EXIF rotation."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lookright.data.annotations import Area, Item, Marks
from lookright.data.images import Frame, turn
from lookright.errors import DataError

ASPECT_TOLERANCE = 0.01


class Fit(NamedTuple):
    """How marks had to be changed to lie on their image."""

    turned: bool
    """they were drawn on the stored pixels, before the EXIF rotation"""
    rescaled: bool
    """they were drawn at another size of the same aspect (or are a grid of any shape)"""


def fit_marks(drawn: tuple[int, int], photo: Frame, marks: Marks, item_id: str) -> Fit:
    """Decide how marks of a size lie on an image.

    In this order: the size of the upright image; the size of the stored image (then they are turned with
    it); a size of the same aspect within 1 % (or a pixel) as one of these.

    Args:
        drawn: (width, height) of the marks
        photo: the image
        marks: a grid that `covers_whole_image` fits any image
        item_id: for the message

    Raises:
        DataError: none of these fits.
    """
    upright, stored = photo.size, photo.stored_size
    if drawn == upright or marks.covers_whole_image:
        return Fit(turned=False, rescaled=drawn != upright)
    if drawn == stored:
        return Fit(turned=True, rescaled=False)
    if _same_aspect(drawn, upright):
        return Fit(turned=False, rescaled=True)
    if photo.swaps_axes and _same_aspect(drawn, stored):
        return Fit(turned=True, rescaled=True)
    raise DataError(
        f"{item_id}: its annotation is {drawn[0]} x {drawn[1]}, the image is {upright[0]} x {upright[1]}, "
        "another shape; draw the annotation on this image, or bring it to the image's size"
    )


def align(item: Item, photo: Frame) -> Area | None:
    """The annotation of an image on its upright pixels, at the size it was drawn at; None if there is none.

    Raises:
        DataError: the annotation cannot be read, or does not fit the image.
    """
    return None if item.marks is None else align_marks(item.marks, photo, item.id)


def align_marks(marks: Marks, photo: Frame, item_id: str) -> Area:
    """Marks on the upright pixels of their image, at the size they were drawn at.

    Raises:
        DataError: they cannot be read, or do not fit the image.
    """
    signed = marks.render()
    fit = fit_marks((signed.shape[1], signed.shape[0]), photo, marks, item_id)
    return np.ascontiguousarray(turn(signed, photo.orientation)) if fit.turned else signed


def _same_aspect(drawn: tuple[int, int], size: tuple[int, int]) -> bool:
    (width, height), (full_width, full_height) = drawn, size
    if math.isclose(width * full_height, height * full_width, rel_tol=ASPECT_TOLERANCE):
        return True
    # Small copies of large images are rounded to whole pixels.
    off_by = max(
        abs(width - height * full_width / full_height), abs(height - width * full_height / full_width)
    )
    return off_by <= 1
