"""Pictures to look at: an explanation as a heat map, an annotation as an outline.

Sizes are (width, height), as Pillow has them; arrays are (height, width).
"""

from __future__ import annotations

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lookright.metrics import rescale

POSITIVE = (86, 222, 255)
"""Colour of the border of what is marked relevant: a solid line."""
NEGATIVE = (255, 140, 206)
"""Colour of the border of what is marked as not to be used: a dashed line, so that it needs no colour."""
CASING = (16, 16, 24)
"""Dark edge of both lines, which are light: one of the two stands out on any photo."""

HEAT_COLOURS = "viridis"
"""Lightness rises evenly: it reads without colour. Green and yellow stand out on skin and fur."""


def heat(explanation: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """An explanation as a transparent layer to lie over the photo.

    Normalised as the RES metrics do (`lookright.metrics.rescale`), coloured by matplotlib's viridis. The
    alpha is the value, so that the photo shows where nothing is claimed.

    Args:
        explanation: (h, w), any range
        size: (width, height) of the layer

    Returns:
        RGBA picture; fully transparent where the map is constant.

    Raises:
        ValueError: the explanation is not (h, w), or the size is empty.
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> layer = heat(np.array([[0.0, 1.0]]), (4, 2))
        >>> layer.mode, layer.size, layer.getpixel((0, 0))[3], layer.getpixel((3, 0))[3]
        ('RGBA', (4, 2), 0, 255)
    """
    values = _plane(explanation, "explanation")
    value = rescale(values, _height_width(size))[0, 0].clamp(0, 1).numpy()
    colours = matplotlib.colormaps[HEAT_COLOURS](value, bytes=True)
    colours[..., 3] = np.round(255 * value).astype(np.uint8)
    return Image.fromarray(colours)


def overlay(photo: Image.Image, explanation: NDArray[np.floating], opacity: float = 0.75) -> Image.Image:
    """A photo with its explanation over it.

    Args:
        photo: of any mode
        explanation: (h, w), any range
        opacity: of the largest value, in [0, 1]

    Returns:
        RGB picture of the photo's size.

    Raises:
        ValueError: opacity outside [0, 1], or the explanation is not (h, w).
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> overlay(Image.new("RGB", (4, 2), "grey"), np.array([[0.0, 1.0]])).getpixel((0, 0))
        (128, 128, 128)
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: from 0 to 1, got {opacity}")
    layer = heat(explanation, photo.size)
    layer.putalpha(layer.getchannel("A").point(lambda alpha: round(alpha * opacity)))
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def outline(annotation: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """The borders of an annotation's marks as a transparent layer to lie over the photo.

    Positive marks have a solid blue border, negative ones a dashed pink one, both inside the mark and with a
    dark edge. Marks thinner than the line are drawn whole, however small the layer is.

    Args:
        annotation: (H, W), > 0 relevant, < 0 must not be used
        size: (width, height) of the layer

    Returns:
        RGBA picture of four colours, transparent among them.

    Raises:
        ValueError: the annotation is not (H, W), or the size is empty.

    Example:
        >>> layer = outline(np.array([[0.0, 1.0]]), (64, 32))
        >>> layer.getpixel((10, 16)), layer.getpixel((32, 16)) == (*POSITIVE, 255)
        ((0, 0, 0, 0), True)
    """
    signed = _plane(annotation, "annotation")
    height_width = _height_width(size)
    line = max(1, round(min(height_width) / 120))
    # The maximum over a pixel's area, as resize_annotation's share would lose what is thin in a thumbnail.
    marks = F.adaptive_max_pool2d(torch.cat([signed > 0, signed < 0]).float(), height_width)
    border = marks * _dilate(1 - F.pad(marks, (line,) * 4), line)[..., line:-line, line:-line]
    row, column = torch.meshgrid(*map(torch.arange, height_width), indexing="ij")
    dash = ((row + column) // (4 * line) % 3 > 0).float()
    positive, negative = border[0, 0] > 0, border[1, 0] * dash > 0
    casing = _dilate(border, line).amax(dim=0)[0] > 0

    pixels = np.zeros((*height_width, 4), dtype=np.uint8)
    for where, colour in ((casing, CASING), (positive, POSITIVE), (negative, NEGATIVE)):
        pixels[where.numpy()] = (*colour, 255)
    return Image.fromarray(pixels)


def _dilate(masks: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius)


def _plane(values: NDArray[np.floating], name: str) -> Tensor:
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name}: (height, width), got {values.shape}")
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]


def _height_width(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"size: (width, height) of at least one pixel, got {size}")
    return height, width
