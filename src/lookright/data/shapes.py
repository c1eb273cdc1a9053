"""The shapes that annotation tools write: each knows how to fill itself in."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from lookright.errors import DataError

POINT_RADIUS = 0.03
"""Radius of the disc that a point stands for, as a share of the image's longer side."""
LINE_WIDTH = 0.03
"""Width of a line where its file states none, as a share of the image's longer side."""


class Shape(ABC):
    """One marked area, in pixels of the size that it was drawn at; (0, 0) is the upper left corner."""

    @abstractmethod
    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels of `canvas` (H, W) that the shape covers."""


@dataclass(frozen=True)
class Polygon(Shape):
    """A closed outline, filled as COCO fills it.

    Example:
        >>> canvas = np.zeros((3, 3), dtype=bool)
        >>> Polygon(((0, 0), (2, 0), (2, 2), (0, 2))).fill(canvas)
        >>> int(canvas.sum())
        4
    """

    points: tuple[tuple[float, float], ...]
    """(x, y) of at least three corners"""

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels inside the outline."""
        height, width = canvas.shape
        flat = [coordinate for point in self.points for coordinate in point]
        runs = coco_mask.frPyObjects([flat], height, width)
        canvas |= coco_mask.decode(runs)[..., 0].astype(bool)


@dataclass(frozen=True)
class Box(Shape):
    """A rectangle; it covers the pixels whose centre lies inside.

    Example:
        >>> canvas = np.zeros((2, 4), dtype=bool)
        >>> Box(1, 0, 3, 1).fill(canvas)
        >>> canvas.astype(int).tolist()
        [[0, 1, 1, 0], [0, 0, 0, 0]]
    """

    left: float
    top: float
    right: float
    bottom: float

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels inside the rectangle."""
        left, top, right, bottom = (
            max(0, math.ceil(edge - 0.5)) for edge in (self.left, self.top, self.right, self.bottom)
        )
        canvas[top:bottom, left:right] = True


@dataclass(frozen=True)
class Scribble(Shape):
    """A line of a width with round ends; of one point: a disc. It covers pixels whose centre lies within.

    However thin, it covers the pixel in which each of its points lies.

    Example:
        >>> canvas = np.zeros((3, 6), dtype=bool)
        >>> Scribble(((1.5, 1.5), (4.5, 1.5)), width=1).fill(canvas)
        >>> Scribble(((0, 0),), width=0.1).fill(canvas)
        >>> canvas.astype(int).tolist()
        [[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
    """

    points: tuple[tuple[float, float], ...]
    """(x, y) of at least one point"""
    width: float
    """across the line, or the disc's diameter"""

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels within half the width of the line."""
        radius = self.width / 2
        ends = self.points[1:] or self.points
        for start, end in zip(self.points, ends, strict=False):
            _fill_segment(canvas, start, end, radius)
        height, width = canvas.shape
        for x, y in self.points:
            if 0 <= x < width and 0 <= y < height:
                canvas[math.floor(y), math.floor(x)] = True


def _fill_segment(
    canvas: NDArray[np.bool_], start: tuple[float, float], end: tuple[float, float], radius: float
) -> None:
    (x0, y0), (x1, y1) = start, end
    left, top = (max(0, math.floor(min(pair) - radius)) for pair in ((x0, x1), (y0, y1)))
    right, bottom = (max(0, math.ceil(max(pair) + radius)) for pair in ((x0, x1), (y0, y1)))
    window = canvas[top:bottom, left:right]  # NumPy cuts it at the far edges
    y = np.arange(window.shape[0])[:, None] + top + 0.5
    x = np.arange(window.shape[1])[None] + left + 0.5
    along_x, along_y = x1 - x0, y1 - y0
    length2 = along_x**2 + along_y**2
    nearest = ((x - x0) * along_x + (y - y0) * along_y) / (length2 or 1.0)
    nearest = nearest.clip(0, 1)
    window |= (x - x0 - nearest * along_x) ** 2 + (y - y0 - nearest * along_y) ** 2 <= radius**2


@dataclass(frozen=True)
class RunLengths(Shape):
    """A COCO run-length mask of the whole canvas.

    Example:
        >>> canvas = np.zeros((2, 2), dtype=bool)
        >>> RunLengths.from_counts([1, 2, 1], 2, 2).fill(canvas)  # runs go down the columns
        >>> canvas.astype(int).tolist()
        [[0, 1], [1, 0]]
    """

    counts: bytes
    """COCO's compressed run lengths"""

    @classmethod
    def from_counts(cls, counts: Sequence[int] | str | bytes, height: int, width: int) -> RunLengths:
        """From the `counts` of a COCO segmentation, compressed or not.

        Raises:
            DataError: the runs do not add up to height x width.
        """
        if isinstance(counts, str | bytes):
            return cls(counts.encode() if isinstance(counts, str) else counts)
        if any(not isinstance(run, int) or run < 0 for run in counts) or sum(counts) != height * width:
            raise DataError(f"RLE counts do not add up to {width} x {height} pixels")
        return cls(
            coco_mask.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)["counts"]
        )

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> RunLengths:
        """From a mask (H, W) of the whole canvas."""
        return cls(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"])

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels of the mask.

        Raises:
            DataError: the runs are damaged.
        """
        try:
            mask = coco_mask.decode({"size": list(canvas.shape), "counts": self.counts})
        except ValueError as error:
            raise DataError(f"damaged RLE counts ({error})") from error
        canvas |= mask.astype(bool)


@dataclass(frozen=True)
class Patch(Shape):
    """A mask of a part of the canvas; what lies outside the canvas is cut off.

    Example:
        >>> canvas = np.zeros((2, 4), dtype=bool)
        >>> Patch.from_mask(np.ones((2, 2), dtype=bool), left=1, top=1).fill(canvas)
        >>> canvas.astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0]]
    """

    left: int
    top: int
    width: int
    height: int
    runs: RunLengths
    """of the part alone"""

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], left: int, top: int) -> Patch:
        """From the mask (h, w) of the part, and where its upper left pixel lies."""
        height, width = mask.shape
        return cls(left, top, width, height, RunLengths.from_mask(mask))

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels of the mask.

        Raises:
            DataError: as `RunLengths.fill`
        """
        part = np.zeros((self.height, self.width), dtype=bool)
        self.runs.fill(part)
        part = part[max(-self.top, 0) :, max(-self.left, 0) :]
        room = canvas[max(self.top, 0) :, max(self.left, 0) :][: part.shape[0], : part.shape[1]]
        room |= part[: room.shape[0], : room.shape[1]]


def polygon(points: Iterable[Sequence[float]], height: int, width: int) -> Polygon:
    """A polygon out of numbers that a file holds.

    Raises:
        DataError: fewer than three points, or a coordinate that is no number or far outside the image.

    Example:
        >>> polygon([[0, 0], [1, 1]], 4, 4)
        Traceback (most recent call last):
        lookright.errors.DataError: a polygon of 2 points; it needs at least 3
    """
    corners = _corners(points, height, width)
    if len(corners) < 3:
        raise DataError(f"a polygon of {len(corners)} points; it needs at least 3")
    return Polygon(corners)


def scribble(points: Iterable[Sequence[float]], thickness: object, height: int, width: int) -> Scribble:
    """A line, or a point, out of numbers that a file holds.

    Args:
        points: (x, y) of each
        thickness: of the line in pixels; the diameter of a point
        height: of the image
        width: of the image

    Raises:
        DataError: no point, no thickness, or a coordinate that is no number or far outside the image.

    Example:
        >>> scribble([[1, 1], [3, 1]], 0, 4, 4)
        Traceback (most recent call last):
        lookright.errors.DataError: a line or point of width 0; give pixels above 0
    """
    corners = _corners(points, height, width)
    if not corners:
        raise DataError("a line without points")
    across = number(thickness)
    if across <= 0:
        raise DataError(f"a line or point of width {across:g}; give pixels above 0")
    return Scribble(corners, across)


def box(left: float, top: float, right: float, bottom: float) -> Box:
    """A box out of numbers that a file holds.

    Raises:
        DataError: a side that is no number, or no area.
    """
    rectangle = Box(number(left), number(top), number(right), number(bottom))
    if not (rectangle.left < rectangle.right and rectangle.top < rectangle.bottom):
        raise DataError(f"a box without area: left {left}, top {top}, right {right}, bottom {bottom}")
    return rectangle


def _corners(points: Iterable[Sequence[float]], height: int, width: int) -> tuple[tuple[float, float], ...]:
    corners = tuple((number(x), number(y)) for x, y in points)
    for x, y in corners:
        # Rasterising costs memory by the length of the outline, so far-off corners are not harmless.
        if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
            raise DataError(f"the corner ({x:g}, {y:g}) lies far outside the image of {width} x {height}")
    return corners


def number(value: object) -> float:
    """A finite number that a file holds.

    Raises:
        DataError: it is none.
    """
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"a coordinate that is no number: {value!r}")
    return number
