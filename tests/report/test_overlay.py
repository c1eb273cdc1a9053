"""Oracles: scikit-image's resize, matplotlib's colour map, SciPy's morphology, pixels by hand."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data
from skimage.color import rgb2lab
from skimage.transform import resize

from lookright.errors import NonFiniteError
from lookright.report.overlay import CASING, HEAT_COLOURS, NEGATIVE, POSITIVE, heat, outline, overlay

RNG = np.random.default_rng(0)


def has_colour(layer: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    pixels = np.asarray(layer)
    return (pixels[..., :3] == colour).all(axis=-1) & (pixels[..., 3] == 255)


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of WCAG 2.1."""
    linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in np.array(colour) / 255]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_heat_is_the_normalised_enlarged_map_in_colours() -> None:
    explanation = RNG.normal(size=(7, 5)).astype(np.float32)
    layer = heat(explanation, (44, 31))
    value = resize(explanation - explanation.min(), (31, 44), order=1, mode="edge", anti_aliasing=False)
    value /= value.max() + 1e-6
    assert layer.mode == "RGBA"
    assert layer.size == (44, 31)
    np.testing.assert_allclose(np.asarray(layer)[..., 3], 255 * value, atol=1)
    expected = matplotlib.colormaps[HEAT_COLOURS](value, bytes=True)[..., :3].astype(int)
    # The value may fall into the next of 256 colours by rounding.
    np.testing.assert_allclose(np.asarray(layer)[..., :3].astype(int), expected, atol=4)


def test_lightness_of_the_colour_map_alone_orders_the_values() -> None:
    colours = matplotlib.colormaps[HEAT_COLOURS](np.linspace(0, 1, 64))[None, :, :3]
    assert (np.diff(rgb2lab(colours)[0, :, 0]) > 0).all()


@pytest.mark.parametrize("value", [-1.0, 0.0, 5.0])
def test_constant_map_shows_nothing(value: float) -> None:
    explanation = np.full((7, 7), value)
    photo = Image.fromarray(data.astronaut()).resize((64, 64))
    assert not np.asarray(heat(explanation, (64, 64)))[..., 3].any()
    np.testing.assert_array_equal(np.asarray(overlay(photo, explanation)), np.asarray(photo))


def test_overlay_equals_the_blend_by_hand() -> None:
    photo = Image.fromarray(data.cat()).resize((60, 40))
    explanation = RNG.normal(size=(7, 7))
    layer = np.asarray(heat(explanation, photo.size)).astype(float)
    alpha = layer[..., 3:] / 255 * 0.5
    expected = np.asarray(photo) * (1 - alpha) + layer[..., :3] * alpha
    picture = overlay(photo, explanation, opacity=0.5)
    assert picture.mode == "RGB"
    np.testing.assert_allclose(np.asarray(picture).astype(float), expected, atol=2)


def test_opacity_zero_is_the_photo() -> None:
    photo = Image.fromarray(data.cat()).resize((60, 40))
    np.testing.assert_array_equal(
        np.asarray(overlay(photo, RNG.normal(size=(7, 7)), opacity=0)), np.asarray(photo)
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_overlay_takes_a_photo_of_any_mode(mode: str) -> None:
    photo = Image.new("RGB", (12, 9), "grey").convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        photo = photo.convert("I").convert("I;16")
    picture = overlay(photo, np.eye(3))
    assert (picture.mode, picture.size) == ("RGB", (12, 9))


def test_outline_is_the_inner_border_of_the_marks() -> None:
    annotation = np.zeros((90, 120))
    annotation[20:50, 30:80] = 1
    layer = outline(annotation, (120, 90))
    mark = annotation > 0
    border = mark & ~ndimage.binary_erosion(mark, np.ones((3, 3)))
    np.testing.assert_array_equal(has_colour(layer, POSITIVE), border)
    casing = ndimage.binary_dilation(border, np.ones((3, 3))) & ~border
    np.testing.assert_array_equal(has_colour(layer, CASING), casing)
    assert not np.asarray(layer)[~(border | casing)].any()


def test_signs_differ_in_colour_and_in_kind_of_line() -> None:
    annotation = np.zeros((100, 200), dtype=np.float32)
    annotation[20:80, 10:90], annotation[20:80, 110:190] = 0.5, -0.5
    layer = outline(annotation, (200, 100))
    positive, negative = has_colour(layer, POSITIVE), has_colour(layer, NEGATIVE)
    assert positive[:, :100].any()
    assert not positive[:, 100:].any()
    assert negative[:, 100:].any()
    assert not negative[:, :100].any()
    assert positive[20, 10:90].all()
    assert 0.5 < negative[20, 110:190].mean() < 0.8
    mirrored = outline(-annotation[:, ::-1], (200, 100))
    np.testing.assert_array_equal(has_colour(mirrored, POSITIVE), positive)


def test_mark_at_the_border_of_the_image_is_closed() -> None:
    layer = has_colour(outline(np.ones((10, 10)), (40, 40)), POSITIVE)
    assert layer[0].all()
    assert layer[-1].all()
    assert layer[:, 0].all()
    assert layer[:, -1].all()
    assert not layer[1:-1, 1:-1].any()


@pytest.mark.parametrize("size", [(40, 30), (25, 25), (200, 150)])
def test_thin_marks_survive_any_size(size: tuple[int, int]) -> None:
    annotation = np.zeros((300, 400))
    annotation[150, :] = 1
    assert has_colour(outline(annotation, size), POSITIVE).any(axis=0).all()


def test_empty_annotation_has_no_outline() -> None:
    assert not np.asarray(outline(np.zeros((8, 8)), (20, 10))).any()


@pytest.mark.parametrize("grey", range(0, 256, 15))
def test_line_or_casing_contrasts_with_any_grey(grey: int) -> None:
    # WCAG asks 3 : 1 of graphics.
    for line in (POSITIVE, NEGATIVE):
        assert max(contrast(line, (grey,) * 3), contrast(CASING, (grey,) * 3)) >= 3
        assert contrast(line, CASING) >= 3


def test_wrong_arguments_are_named() -> None:
    photo = Image.new("RGB", (8, 8))
    with pytest.raises(ValueError, match=r"explanation: \(height, width\), got \(1, 7, 7\)"):
        heat(np.zeros((1, 7, 7)), (8, 8))
    with pytest.raises(ValueError, match=r"annotation: \(height, width\)"):
        outline(np.zeros((0, 4)), (8, 8))
    with pytest.raises(ValueError, match="size: "):
        heat(np.zeros((7, 7)), (0, 8))
    with pytest.raises(ValueError, match="opacity: from 0 to 1, got 2"):
        overlay(photo, np.zeros((7, 7)), opacity=2)
    with pytest.raises(NonFiniteError, match="explanation: NaN"):
        overlay(photo, np.full((7, 7), math.nan))
