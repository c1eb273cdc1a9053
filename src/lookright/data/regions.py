"""Geometry of marked regions: distances, connected parts, outlines of few corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Region = NDArray[np.bool_]
Distances = NDArray[np.float64]
DEEPEST_SHARE = 0.25
"""What shrinks a region leaves at least the innermost part of this share of its depth."""


def distance_to(region: Region) -> Distances:
    """Euclidean distance of every pixel to the nearest one of a region, between centres.

    Exact: along columns first, then the smallest of column distance and way along the row (Saito & Toriwaki,
    Pattern Recognition 1994).

    Args:
        region: (H, W)

    Returns:
        (H, W), 0 in the region; infinity everywhere if the region is empty

    Example:
        >>> distance_to(np.array([[True, False, False]])).tolist()
        [[0.0, 1.0, 2.0]]
    """
    if not region.any():
        return np.full(region.shape, np.inf)
    rows = np.arange(region.shape[0], dtype=np.float64)[:, None]
    above = np.maximum.accumulate(np.where(region, rows, -np.inf), axis=0)
    below = np.minimum.accumulate(np.where(region, rows, np.inf)[::-1], axis=0)[::-1]
    in_column = np.minimum(rows - above, below - rows) ** 2
    squared = in_column.copy()
    for step in range(1, region.shape[1]):
        if step**2 >= squared.max():
            break
        np.minimum(squared[:, step:], in_column[:, :-step] + step**2, out=squared[:, step:])
        np.minimum(squared[:, :-step], in_column[:, step:] + step**2, out=squared[:, :-step])
    distance: Distances = np.sqrt(squared)
    return distance


def move_boundary(region: Region, pixels: float | Distances) -> Region:
    """Make a region larger or smaller, but not where the frame of the image cuts it off.

    What is deeper inside than three quarters of its deepest pixel stays.

    Args:
        region: (H, W), not empty
        pixels: outwards, or inwards where they are negative; a number, or one for each pixel, (H, W)

    Returns:
        (H, W)

    Example:
        >>> move_boundary(np.array([[True, True, True, False, False]]), 1).tolist()
        [[True, True, True, True, False]]
        >>> move_boundary(np.array([[True, True, True, False, False]]), -1).tolist()
        [[True, True, False, False, False]]
    """
    if region.all():
        return region
    # Signed distance to the edge between pixels.
    outside = np.where(region, 0.5 - distance_to(~region), distance_to(region) - 0.5)
    moved: Region = outside < np.maximum(pixels, (1 - DEEPEST_SHARE) * float(outside.min()))
    return moved


def connected_parts(region: Region) -> list[Region]:
    """Split a region into what hangs together; pixels that touch at a corner alone do not.

    Args:
        region: (H, W)

    Returns:
        each part, (H, W)

    Example:
        >>> [int(part.sum()) for part in connected_parts(np.array([[True, True, False, True]]))]
        [2, 1]
    """
    numbers = np.where(region, np.arange(1, region.size + 1).reshape(region.shape), 0)
    while True:
        before = numbers
        for axes in ((0, 1), (1, 0)):
            along, inside = numbers.transpose(axes), region.transpose(axes)
            along = _largest_so_far(along, inside)
            along = _largest_so_far(along[:, ::-1], inside[:, ::-1])[:, ::-1]
            numbers = along.transpose(axes)
        if np.array_equal(numbers, before):
            return [numbers == number for number in np.unique(numbers[region])]


def _largest_so_far(numbers: NDArray[np.int64], inside: Region) -> NDArray[np.int64]:
    """Running maximum along each row, which starts anew behind every pixel outside."""
    base = numbers.size + 1
    run = np.cumsum(~inside, axis=1) * base
    largest: NDArray[np.int64] = np.maximum.accumulate(run + numbers, axis=1) - run
    return np.where(inside, largest, 0)


def outline(part: Region) -> NDArray[np.int64]:
    """Corners of the outer boundary of a connected part, along the edges of its pixels, clockwise.

    Args:
        part: (H, W), not empty

    Returns:
        (N, 2), x and y of each corner; (0, 0) is the upper left corner of the image

    Example:
        >>> outline(np.array([[False, True, True]])).tolist()
        [[3, 0], [3, 1], [1, 1], [1, 0]]
    """
    framed = np.pad(part, 1)
    y, x = (int(at) for at in np.argwhere(framed)[0])  # its upper left corner is on the outer boundary
    start, dx, dy = (x, y), 1, 0
    corners = []
    while True:
        x, y = x + dx, y + dy
        ahead_right = framed[y + (dy + dx - 1) // 2, x + (dx - dy - 1) // 2]
        ahead_left = framed[y + (dy - dx - 1) // 2, x + (dx + dy - 1) // 2]
        if not ahead_right:  # the part is on the right-hand side
            dx, dy = -dy, dx
        elif ahead_left:
            dx, dy = dy, -dx
        else:
            continue
        corners.append((x - 1, y - 1))
        if (x, y) == start and (dx, dy) == (1, 0):
            return np.array(corners)


def simplify(corners: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Leave out corners of a polygon, each time the one whose triangle with its neighbours is smallest.

    Visvalingam & Whyatt, "Line generalisation by repeated elimination of points", Cartographic Journal 1993.

    Args:
        corners: (N, 2)
        count: how many may stay

    Returns:
        (min(N, count), 2)

    Example:
        >>> simplify(np.array([[0, 0], [4, 0], [4, 4], [3, 4], [3, 5], [0, 5]]), 4).tolist()
        [[0, 0], [4, 0], [4, 4], [0, 5]]
    """
    while len(corners) > count:
        to_last, to_next = np.roll(corners, 1, axis=0) - corners, np.roll(corners, -1, axis=0) - corners
        twice_area = np.abs(to_last[:, 0] * to_next[:, 1] - to_last[:, 1] * to_next[:, 0])
        corners = np.delete(corners, twice_area.argmin(), axis=0)
    return corners
