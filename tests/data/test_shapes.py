"""Points and scribbles against a drawing by hand and a plain formula."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookright.data.shapes import Scribble, scribble
from lookright.errors import DataError


def drawn(shape: Scribble, height: int, width: int) -> np.ndarray:
    canvas = np.zeros((height, width), dtype=bool)
    shape.fill(canvas)
    return canvas


def by_hand(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        (Scribble(((2.5, 2.5),), 3), (".....", ".###.", ".###.", ".###.", ".....")),
        (Scribble(((2.5, 2.5),), 5), (".###.", "#####", "#####", "#####", ".###.")),
        (Scribble(((0, 0),), 4), ("##...", "#....", ".....", ".....", ".....")),
        (Scribble(((1.5, 1.5), (3.5, 1.5), (3.5, 3.5)), 1), (".....", ".###.", "...#.", "...#.", ".....")),
        (Scribble(((0.5, 0.5), (4.5, 4.5)), 1), ("#....", ".#...", "..#..", "...#.", "....#")),
        (Scribble(((-3, 2.5), (9, 2.5)), 1), (".....", ".....", "#####", ".....", ".....")),
        (Scribble(((-3, -3), (-2, 9)), 2), (".....",) * 5),
        (Scribble(((9, 9), (12, 12)), 2), (".....",) * 5),
        (Scribble(((3.2, 1.9),), 0.01), (".....", "...#.", ".....", ".....", ".....")),
        (Scribble(((5, 5),), 0.01), (".....",) * 5),
    ],
)
def test_scribble_by_hand(shape: Scribble, rows: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(drawn(shape, 5, 5), by_hand(*rows))


def test_scribble_is_within_half_its_width() -> None:
    rng = np.random.default_rng(0)
    points = [tuple(point) for point in rng.uniform(0, 40, (5, 2))]
    width = 6.0
    # Distance to a line sampled densely, pixel by pixel.
    dense = np.concatenate([np.linspace(a, b, 4000) for a, b in itertools.pairwise(points)])
    centres = np.stack(np.meshgrid(np.arange(40) + 0.5, np.arange(32) + 0.5), axis=-1)
    distance = np.stack([np.hypot(*(dense - c).T).min() for c in centres.reshape(-1, 2)]).reshape(32, 40)
    clear = np.abs(distance - width / 2) > 0.02
    mine = drawn(Scribble(tuple(points), width), 32, 40)
    np.testing.assert_array_equal(mine[clear], (distance < width / 2)[clear])


def test_disc_agrees_with_pillow_along_all_but_its_edge() -> None:
    image = Image.new("1", (64, 48))
    ImageDraw.Draw(image).ellipse((20, 10, 44, 34), fill=1)
    mine = drawn(Scribble(((32.5, 22.5),), 25), 48, 64)
    assert (mine != np.asarray(image)).sum() <= 12
    assert mine.sum() == pytest.approx(np.pi * 12.5**2, rel=0.02)


@pytest.mark.parametrize(
    ("points", "thickness", "message"),
    [
        ([], 2, "without points"),
        ([[1, 1]], 0, "of width 0; give pixels"),
        ([[1, 1]], -1, "of width -1"),
        ([[1, 1]], float("nan"), "no number"),
        ([[1, "x"]], 2, "no number"),
        ([[1, 1e9]], 2, "far outside"),
    ],
)
def test_senseless_scribble(points: list, thickness: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scribble(points, thickness, 10, 10)
