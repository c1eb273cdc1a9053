"""Superpixels: segments of a photo that one click marks."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.annotate.encoded import encoded
from lookright.data.images import load_image

LEVELS = 5

_SIDE = 512
"""Photos are parted at this longer side at most: above it segments take long and look the same."""

_FEWEST, _MOST = 25, 800
_COMPACTNESS = 12.0
_SMOOTHING = 1.0


def count(level: int) -> int:
    """How many segments a level aims at: from a few to many, each level the same factor more.

    Args:
        level: 1 to `LEVELS`

    Example:
        >>> [count(level) for level in range(1, LEVELS + 1)]
        [25, 59, 141, 336, 800]
    """
    more: float = (_MOST / _FEWEST) ** ((level - 1) / (LEVELS - 1))
    return round(_FEWEST * more)


def segments(photo: Image.Image, level: int) -> NDArray[np.uint16]:
    """Part a photo by SLIC (Achanta et al., TPAMI 2012): alike in colour, near in place.

    Args:
        photo: RGB
        level: 1 to `LEVELS`

    Returns:
        (H, W) number of each pixel's segment, from 0

    Example:
        >>> halves = Image.new("RGB", (40, 20), "white")
        >>> halves.paste((200, 0, 0), (0, 0, 20, 20))
        >>> found = segments(halves, 2)
        >>> bool(set(found[:, :20].flat) & set(found[:, 20:].flat))
        False
    """
    from skimage.segmentation import slic  # which takes a while to load

    small = photo.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    wanted = min(count(level), pixels.shape[0] * pixels.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # photos of a few pixels
        part = partial(slic, pixels, n_segments=wanted, start_label=0, channel_axis=-1)
        found = part(compactness=_COMPACTNESS)
        if found.max() + 1 < wanted / 2:  # all texture: segments fall to pieces, and are merged into one
            found = part(slic_zero=True, sigma=_SMOOTHING)
    rows, columns = (
        np.arange(large) * small_side // large
        for large, small_side in zip((photo.height, photo.width), found.shape, strict=True)
    )
    enlarged: NDArray[np.uint16] = found.astype(np.uint16)[np.ix_(rows, columns)]
    return enlarged


def draw(path: Path, level: int) -> bytes:
    """The segments of a photo as an RGB PNG of its size: number = R + 256 G + 65536 B.

    Args:
        path: the photo
        level: 1 to `LEVELS`

    Raises:
        DataError: it cannot be read.
    """
    number = segments(load_image(path), level)
    colours = np.zeros((*number.shape, 3), dtype=np.uint8)  # blue stays 0: there are never 65536
    colours[..., 0], colours[..., 1] = number & 255, number >> 8
    return encoded(Image.fromarray(colours), "PNG", compress_level=1)
