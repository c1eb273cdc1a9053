"""Turned shapes against the point-in-shape test, and the quadratic form of an ellipse."""

import math

import numpy as np
import pytest

from lookright.data.shapes import Patch
from lookright.data.turned import ellipse, turned_box
from lookright.errors import DataError

HEIGHT, WIDTH = 40, 60


def filled(shape) -> np.ndarray:
    canvas = np.zeros((HEIGHT, WIDTH), dtype=bool)
    shape.fill(canvas)
    return canvas


def inside_box(edges, degrees, pivot, margin: float) -> np.ndarray:
    """Pixels whose centre, turned back about the pivot, lies in the box and `margin` away from its sides."""
    left, top, right, bottom = edges
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    back = ((x - pivot[0]) + 1j * (y - pivot[1])) * np.exp(-1j * math.radians(degrees))
    x, y = back.real + pivot[0], back.imag + pivot[1]
    return (
        (x > left + margin) & (x < right - margin) & (y > top + margin) & (y < bottom - margin)
    )  # fmt: skip


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 137, 180, 270, 315.5, 360, -30])
@pytest.mark.parametrize("pivot", [(20, 12), (30, 18)])
def test_a_box_is_turned_clockwise_about_its_pivot(degrees: float, pivot: tuple[float, float]) -> None:
    edges = (20.0, 12.0, 40.0, 24.0)
    canvas = filled(turned_box(edges, degrees, pivot, HEIGHT, WIDTH))
    assert canvas[inside_box(edges, degrees, pivot, margin=0.75)].all()
    assert not canvas[~inside_box(edges, degrees, pivot, margin=-0.75)].any()


@pytest.mark.parametrize("degrees", [0, 30, 90, 200, -45])
@pytest.mark.parametrize("centre", [(30.1, 20.2), (3.3, 38.0), (-2.0, 10.0)])
def test_an_ellipse_is_its_quadratic_form(degrees: float, centre: tuple[float, float]) -> None:
    canvas = filled(ellipse(centre, (15, 6), degrees, HEIGHT, WIDTH))
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    form = np.linalg.inv(turn @ np.diag([15.0**2, 6.0**2]) @ turn.T)
    offset = np.stack(np.mgrid[:HEIGHT, :WIDTH][::-1], axis=-1) + 0.5 - centre
    np.testing.assert_array_equal(canvas, np.einsum("hwi,ij,hwj->hw", offset, form, offset) <= 1)
    if centre == (30.1, 20.2):
        assert canvas.sum() == pytest.approx(math.pi * 15 * 6, rel=0.03)


def test_broken_ellipses_and_boxes() -> None:
    with pytest.raises(DataError, match="an ellipse without area: radii 1 and -2"):
        ellipse((1, 1), (1, -2), 0, HEIGHT, WIDTH)
    with pytest.raises(DataError, match="far outside"):
        ellipse((1e9, 1), (1, 2), 0, HEIGHT, WIDTH)
    with pytest.raises(DataError, match="no number: 'x'"):
        ellipse((1, 1), (1, 2), "x", HEIGHT, WIDTH)
    with pytest.raises(DataError, match="a box without area"):
        turned_box((1, 1, 1, 2), 30, (1, 1), HEIGHT, WIDTH)
    with pytest.raises(DataError, match="far outside"):
        turned_box((0, 0, 1e6, 1), 30, (0, 0), HEIGHT, WIDTH)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 2), (-2, -1), (58, 39), (60, 40), (-9, 0), (500, 3)])
def test_a_patch_is_cut_at_the_edges(left: int, top: int) -> None:
    mask = np.random.default_rng(0).random((4, 5)) > 0.4
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for row, column in np.argwhere(mask):
        if 0 <= row + top < HEIGHT and 0 <= column + left < WIDTH:
            expected[row + top, column + left] = True
    np.testing.assert_array_equal(filled(Patch.from_mask(mask, left, top)), expected)
