"""Brush masks against an encoder of the tests' own; PNGs against Pillow."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brush_runs import encode, rgba
from lookright.data.readers.encoded_masks import brush_mask, png_mask
from lookright.errors import DataError


@settings(deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.lists(st.integers(1, 16), min_size=4, max_size=4),
    st.lists(st.integers(0, 144)),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_brush_is_read_however_it_is_cut(height, width, sizes, cuts, repeat, random) -> None:
    alpha = np.array([[random.choice([0, 255]) for _ in range(width)] for _ in range(height)], dtype=np.uint8)
    values = rgba(alpha)
    cuts = [cut for cut in cuts if cut <= len(values)]
    packed = encode(values, tuple(sizes), cuts, repeat)
    np.testing.assert_array_equal(brush_mask(packed, height, width), alpha > 0)


def test_soft_edges_of_a_brush_count_from_half_of_its_strength() -> None:
    strong = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    weak = np.array([[0, 20, 26, 51]], dtype=np.uint8)  # a stroke of opacity 0.2
    for alpha, marked in ((strong, [0, 0, 1, 1]), (weak, [0, 0, 1, 1]), (strong * 0, [0, 0, 0, 0])):
        assert brush_mask(encode(rgba(alpha), (3, 4, 8, 16), []), 1, 4).tolist() == [list(map(bool, marked))]


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ([], "end too soon"),
        ([0, 0, 0, 8], "end too soon"),
        ("text", "not a list of numbers"),
        (None, "not a list of numbers"),
        ([0, 256], "not a list of numbers"),
        ([0, -1], "not a list of numbers"),
        (["a"], "not a list of numbers"),
        ([0, 0, 0, 12, 56, 0, 0, 131], "12 values in an image of 2 x 1, which has 8"),
        ([255, 255, 255, 255, 56, 0, 0], "4294967295 values"),
        ([0, 0, 0, 8, 255, 255, 255, 255], "values of 32 bits"),
        ([0, 0, 0, 8, 63, 255, 255, 159, 255, 224], "more values than the image has"),
    ],
)
def test_damaged_brushes(packed: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        brush_mask(packed, height=1, width=2)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_any_bytes_are_a_mask_or_an_error(packed: list[int]) -> None:
    try:
        mask = brush_mask([0, 0, 0, 24, *packed], height=2, width=3)
    except DataError:
        return
    assert mask.shape == (2, 3)


def as_text(image: Image.Image, before: str = "") -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return before + base64.b64encode(buffer.getvalue()).decode()


def test_a_png_is_marked_where_it_is_bright_or_opaque() -> None:
    marked = np.array([[True, False, True]])
    black = np.zeros((1, 3, 4), dtype=np.uint8)
    black[..., 3] = 255 * marked
    address = "data:image/png;base64,"
    for text in (
        as_text(Image.fromarray(marked)),
        as_text(Image.fromarray(marked.astype(np.uint8) * 3)),
        as_text(Image.fromarray(black), address),
    ):
        np.testing.assert_array_equal(png_mask(text, 1, 3), marked)
    full = Image.fromarray(np.full((1, 3, 4), (0, 0, 0, 255), dtype=np.uint8))
    assert png_mask(as_text(full, address), 1, 3).all()


def test_damaged_pngs() -> None:
    with pytest.raises(DataError, match="a damaged mask"):
        png_mask("?", 1, 1)
    with pytest.raises(DataError, match="a mask of 2 x 1 in an image of 1 x 1"):
        png_mask(as_text(Image.new("1", (2, 1))), 1, 1)
