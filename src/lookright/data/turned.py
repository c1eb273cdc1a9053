"""Shapes that annotation tools can turn: ellipses and rectangles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookright.data.shapes import Box, Shape, box, number, polygon
from lookright.errors import DataError


@dataclass(frozen=True)
class Ellipse(Shape):
    """An ellipse, turned clockwise by degrees; it covers the pixels whose centre lies inside.

    Example:
        >>> canvas = np.zeros((3, 5), dtype=bool)
        >>> Ellipse(x=2.5, y=1.5, across=2, down=1).fill(canvas)
        >>> canvas.astype(int).tolist()
        [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]
    """

    x: float
    """of the centre"""
    y: float
    across: float
    """radius along the x axis, before it is turned"""
    down: float
    """radius along the y axis, before it is turned"""
    degrees: float = 0.0

    def fill(self, canvas: NDArray[np.bool_]) -> None:
        """Set the pixels inside the ellipse."""
        cos, sin = _direction(self.degrees)
        reach_x = math.hypot(self.across * cos, self.down * sin)
        reach_y = math.hypot(self.across * sin, self.down * cos)
        left, top = (max(0, math.floor(low)) for low in (self.x - reach_x, self.y - reach_y))
        right, bottom = (max(0, math.ceil(high)) for high in (self.x + reach_x, self.y + reach_y))
        window = canvas[top:bottom, left:right]  # NumPy cuts it at the far edges
        y = np.arange(window.shape[0])[:, None] + top + 0.5 - self.y
        x = np.arange(window.shape[1])[None] + left + 0.5 - self.x
        along, beside = x * cos + y * sin, y * cos - x * sin
        window |= (along / self.across) ** 2 + (beside / self.down) ** 2 <= 1


def ellipse(
    centre: tuple[object, object], radii: tuple[object, object], degrees: object, height: int, width: int
) -> Ellipse:
    """An ellipse out of numbers that a file holds.

    Args:
        centre: (x, y)
        radii: (across, down) before it is turned
        degrees: clockwise
        height: of the image
        width: of the image

    Raises:
        DataError: no number, no area, or a centre far outside the image.

    Example:
        >>> ellipse((1, 1), (0, 2), 0, 4, 4)
        Traceback (most recent call last):
        lookright.errors.DataError: an ellipse without area: radii 0 and 2
    """
    x, y = map(number, centre)
    across, down = map(number, radii)
    if across <= 0 or down <= 0:
        raise DataError(f"an ellipse without area: radii {across:g} and {down:g}")
    if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
        raise DataError(f"the centre ({x:g}, {y:g}) lies far outside the image of {width} x {height}")
    return Ellipse(x, y, across, down, number(degrees))


def turned_box(
    edges: tuple[float, float, float, float],
    degrees: object,
    pivot: tuple[float, float],
    height: int,
    width: int,
) -> Shape:
    """A rectangle that is turned clockwise about a point, out of numbers that a file holds.

    Args:
        edges: left, top, right, bottom before it is turned
        degrees: clockwise
        pivot: (x, y) of the point that stays
        height: of the image
        width: of the image

    Returns:
        a `Box` where nothing is turned, else a polygon

    Raises:
        DataError: as `box` and `polygon`

    Example:
        >>> turned_box((0, 0, 2, 1), 0, (0, 0), 4, 4)
        Box(left=0.0, top=0.0, right=2.0, bottom=1.0)
        >>> [(round(x), round(y)) for x, y in turned_box((1, 1, 3, 2), 90, (1, 1), 4, 4).points]
        [(1, 1), (1, 3), (0, 3), (0, 1)]
    """
    straight: Box = box(*edges)
    angle = number(degrees) % 360
    if angle == 0:
        return straight
    cos, sin = _direction(angle)
    x0, y0 = pivot
    corners = (
        (straight.left, straight.top),
        (straight.right, straight.top),
        (straight.right, straight.bottom),
        (straight.left, straight.bottom),
    )
    turned = [
        (x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos) for x, y in corners
    ]
    return polygon(turned, height, width)


def _direction(degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return math.cos(angle), math.sin(angle)
