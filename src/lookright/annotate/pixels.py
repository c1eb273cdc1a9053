"""Marks as pixels: grey, 0 not here, 128 unmarked, 255 look here; out of and into PNG files."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.annotate.encoded import encoded
from lookright.annotate.refused import RefusedError
from lookright.data.align import align_marks
from lookright.data.annotations import Marks
from lookright.data.images import Frame

Grey = NDArray[np.uint8]

NEGATIVE, UNMARKED, POSITIVE = 0, 128, 255

MAX_BYTES = 20_000_000
"""Largest PNG that is taken from a client."""

_MODES = ("L", "LA", "RGB", "RGBA")
_QUICK = 3  # zlib level: a stroke is saved at once


def unmarked(size: tuple[int, int]) -> Grey:
    """Marks of nothing.

    Args:
        size: (width, height)
    """
    return np.full((size[1], size[0]), UNMARKED, dtype=np.uint8)


def has_marks(marks: Grey) -> bool:
    """Whether anything is marked.

    Args:
        marks: (H, W)
    """
    return bool((marks != UNMARKED).any())


def decode_marks(body: bytes, size: tuple[int, int]) -> Grey:
    """Read marks that a client sends. Pixels are decoded only once the header says that they fit.

    Args:
        body: of the request: an 8-bit PNG, grey or with the value in its red channel
        size: (width, height) of the photo

    Returns:
        (H, W)

    Raises:
        RefusedError: 415 if it is no such PNG; 400 if it is damaged, of another size, or has other values
            than 0, 128 and 255.

    Example:
        >>> decode_marks(encode_marks(unmarked((2, 1))), (2, 1)).tolist()
        [[128, 128]]
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at below
            image = Image.open(io.BytesIO(body), formats=("PNG",))
    # Pillow raises nearly anything on damaged bytes, and an error of its own on absurd sizes.
    except Image.DecompressionBombError as error:
        raise RefusedError(413, "marks: far more pixels than the photo; send them at its size") from error
    except Exception as error:
        raise RefusedError(415, "marks: not a PNG; send an 8-bit grey or RGB one") from error
    if image.size != size:
        raise RefusedError(
            400,
            f"marks: {image.width} x {image.height} pixels, the photo has {size[0]} x {size[1]}; "
            "send them at the photo's size",
        )
    if image.mode not in _MODES:
        raise RefusedError(415, f"marks: a PNG of mode {image.mode}; send an 8-bit grey or RGB one")
    try:
        value = np.array(image.getchannel(0))
    except Exception as error:
        raise RefusedError(400, "marks: a damaged PNG; send it again") from error
    known = (value == NEGATIVE) | (value == UNMARKED) | (value == POSITIVE)
    if not known.all():
        other = int(value[~known][0])
        raise RefusedError(
            400, f"marks: a pixel of value {other}; 0 is not here, 128 unmarked, 255 look here, nothing else"
        )
    return value


def encode_marks(marks: Grey) -> bytes:
    """Write marks as a grey PNG.

    Args:
        marks: (H, W)
    """
    return encoded(Image.fromarray(marks), "PNG", compress_level=_QUICK)


def of_photo(marks: Marks, photo: Frame, photo_id: str) -> Grey:
    """Bring marks of any kind, as a reader finds them, to the pixels of the upright photo.

    Grades are lost: whatever is marked at all is marked. Marks of another size are enlarged or shrunk to
    the nearest pixel.

    Args:
        marks: of the photo
        photo: its size and rotation
        photo_id: for messages

    Returns:
        (H, W)

    Raises:
        DataError: they cannot be read, or do not fit the photo.
    """
    signed = align_marks(marks, photo, photo_id)
    grey = unmarked((signed.shape[1], signed.shape[0]))
    grey[signed > 0] = POSITIVE
    grey[signed < 0] = NEGATIVE
    if (grey.shape[1], grey.shape[0]) == photo.size:
        return grey
    return np.asarray(Image.fromarray(grey).resize(photo.size, Image.Resampling.NEAREST), dtype=np.uint8)
