"""Distances, parts and outlines against scipy's, and areas by the shoelace formula."""

import numpy as np
import pytest
from scipy import ndimage

from lookright.data.regions import connected_parts, distance_to, move_boundary, outline, simplify


def blobs(seed: int, size: tuple[int, int], share: float = 0.4) -> np.ndarray:
    """A random region with several parts, holes, and pixels that touch at corners."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(size), 1.0)
    return noise > np.quantile(noise, 1 - share)


SIZES = [(1, 1), (1, 9), (9, 1), (20, 33), (40, 17)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_distances(size: tuple[int, int], share: float) -> None:
    region = blobs(1, size, share)
    if region.any():
        np.testing.assert_allclose(distance_to(region), ndimage.distance_transform_edt(~region))
    assert np.isinf(distance_to(np.zeros(size, dtype=bool))).all()
    assert not distance_to(np.ones(size, dtype=bool)).any()


@pytest.mark.parametrize("size", SIZES[3:])
@pytest.mark.parametrize("pixels", [0.6, 1, 2.5, 6])
def test_a_boundary_moves(pixels: float, size: tuple[int, int]) -> None:
    region = blobs(3, size)
    inside, outside = (ndimage.distance_transform_edt(where) for where in (region, ~region))
    larger, smaller = move_boundary(region, pixels), move_boundary(region, -pixels)
    assert np.array_equal(larger, outside - 0.5 < pixels)
    innermost = inside - 0.5 > 0.75 * (inside.max() - 0.5)
    assert np.array_equal(smaller, (inside - 0.5 > pixels) | innermost)
    left = np.arange(size[1]) < size[1] / 2
    mixed = move_boundary(region, np.where(left, pixels, -pixels) * np.ones(size))
    assert np.array_equal(mixed, np.where(left, larger, smaller))


@pytest.mark.parametrize("size", SIZES)
def test_parts(size: tuple[int, int]) -> None:
    region = blobs(2, size)
    numbers, count = ndimage.label(region)
    found = {part.tobytes() for part in connected_parts(region)}
    assert found == {(numbers == number).tobytes() for number in range(1, count + 1)}


def test_a_winding_part_is_one() -> None:
    snake = np.ones((21, 21), dtype=bool)
    snake[1::4, :-1] = snake[3::4, 1:] = False
    assert [part.sum() for part in connected_parts(snake)] == [snake.sum()]
    assert connected_parts(np.zeros((3, 4), dtype=bool)) == []


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_encloses_the_part_and_its_holes(seed: int) -> None:
    for part in connected_parts(blobs(seed, (30, 41))):
        x, y = outline(part).T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        assert area == ndimage.binary_fill_holes(part, np.ones((3, 3))).sum()
        assert len(x) == len(y) >= 4


def test_simplify_leaves_the_corners_that_matter() -> None:
    notched = np.ones((20, 30), dtype=bool)
    notched[0, 10:12] = False
    assert sorted(map(tuple, simplify(outline(notched), 4).tolist())) == [(0, 0), (0, 20), (30, 0), (30, 20)]
    assert len(simplify(outline(notched), 50)) == 8
