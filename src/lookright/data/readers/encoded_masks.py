"""Masks that annotation tools write into their files: PNGs as text, and Label Studio's run lengths."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.errors import DataError

_CHANNELS = 4
_BYTE = 8


def png_mask(encoded: str, height: int, width: int) -> NDArray[np.bool_]:
    """A mask that is stored as a PNG in base64: what is not black; what is not transparent, if it has alpha.

    Args:
        encoded: the PNG, with or without `data:image/png;base64,` before it
        height: of the image; the mask may be smaller
        width: of the image

    Returns:
        (h, w)

    Raises:
        DataError: the mask is damaged or larger than the image.
    """
    try:
        packed = base64.b64decode(encoded.partition("base64,")[2] or encoded)
        image = Image.open(io.BytesIO(packed), formats=("PNG",))
        if image.width > width or image.height > height:
            raise DataError(f"a mask of {image.width} x {image.height} in an image of {width} x {height}")
        if image.has_transparency_data:
            return np.asarray(image.convert("RGBA").getchannel("A")) > 0
        return np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise DataError(f"a damaged mask ({error})") from error


def brush_mask(encoded: object, height: int, width: int) -> NDArray[np.bool_]:
    """A mask of Label Studio's brush: run lengths of RGBA pixels, of which the alpha counts.

    The bits, from the highest of each byte on, as in rle-pack of https://github.com/thi-ng/umbrella: how many
    values there are (32 bits), the bits of one value - 1 (5), and four sizes - 1 (4 each). Then blocks: a bit
    that says whether one value is repeated, 2 bits that choose a size, that many bits of the count - 1, and
    the value or values. The edge of a stroke is soft: a pixel is marked if its alpha is above half of the
    strongest one.

    Args:
        encoded: the numbers of the key `rle`, each a byte
        height: of the image
        width: of the image

    Returns:
        (height, width)

    Raises:
        DataError: it is damaged, or of another size.

    Example:
        >>> second = [0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128]  # of two pixels
        >>> brush_mask(second, height=1, width=2).tolist()
        [[False, True]]
    """
    bits = _Bits(_packed(encoded))
    total = bits.read(32)
    if total != _CHANNELS * height * width:
        raise DataError(
            f"a brush mask of {total} values in an image of {width} x {height}, which has "
            f"{_CHANNELS * height * width} (red, green, blue, alpha)"
        )
    width_of_value = bits.read(5) + 1
    if width_of_value > _BYTE:
        raise DataError(f"a brush mask with values of {width_of_value} bits; those of pixels have 8")
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.empty(total, dtype=np.uint8)
    start = 0
    while start < total:
        is_repeated = bits.read(1)
        end = start + 1 + bits.read(sizes[bits.read(2)])
        if end > total:
            raise DataError("damaged brush runs: more values than the image has")
        if is_repeated:
            values[start:end] = bits.read(width_of_value)
        else:
            values[start:end] = bits.values(end - start, width_of_value)
        start = end
    alpha = values.reshape(height, width, _CHANNELS)[..., -1]
    return 2 * alpha.astype(np.uint16) > int(alpha.max())


def _packed(encoded: object) -> bytes:
    what = "damaged brush runs: not a list of numbers from 0 to 255"
    if not isinstance(encoded, list):
        raise DataError(what)
    try:
        return bytes(encoded)
    except (TypeError, ValueError) as error:
        raise DataError(what) from error


class _Bits:
    """Bits of bytes, from the highest of each byte on."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    def read(self, count: int) -> int:
        """The next bits as one number."""
        piece, start = self._take(count)
        return (int.from_bytes(piece, "big") >> (_BYTE * len(piece) - start - count)) & ((1 << count) - 1)

    def values(self, count: int, size: int) -> NDArray[np.uint8]:
        """The next numbers of `size` bits each, at most 8."""
        piece, start = self._take(count * size)
        bits = np.unpackbits(np.frombuffer(piece, dtype=np.uint8))[start : start + count * size]
        return np.packbits(bits.reshape(count, size), axis=1)[:, 0] >> np.uint8(_BYTE - size)

    def _take(self, count: int) -> tuple[bytes, int]:
        """The bytes that hold the next bits, and how many bits of them lie before."""
        first, start = divmod(self._at, _BYTE)
        self._at += count
        if self._at > _BYTE * len(self._packed):
            raise DataError("damaged brush runs: they end too soon")
        return self._packed[first : -(-self._at // _BYTE)], start
