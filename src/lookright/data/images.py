"""Opening photos and mask files as people have them: every mode, rotated, animated, damaged, huge."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.errors import DataError

MAX_PIXELS = 89_478_485
"""Largest photo or mask that is decoded: Pillow's own mark for a decompression bomb."""

_ORIENTATION_TAG = 0x0112
_HALF = 127
# Pillow looks at the bytes, not at the name: without this list a .jpg could start Ghostscript.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True)
class Picture:
    """A decoded photo and what its file said of itself."""

    image: Image.Image
    """RGB, upright: as a viewer shows it"""
    stored_size: tuple[int, int]
    """(width, height) of the pixels in the file, before the EXIF rotation"""
    orientation: int
    """EXIF orientation, 1 (upright) to 8"""
    frames: int
    """1, or the number of frames of an animation (the first one is used)"""
    mode: str
    """Pillow's mode of the file, for instance RGB, L, CMYK, I;16"""

    @property
    def swaps_axes(self) -> bool:
        """Whether upright means a quarter turn: stored width and height change places."""
        return self.orientation >= 5


def load_image(path: Path) -> Image.Image:
    """Open a photo as upright 8-bit RGB.

    Palette, greyscale, CMYK and 16-bit files are converted; transparent ones are laid over white; of an
    animation the first frame is taken; the EXIF orientation is applied.

    Args:
        path: the photo

    Raises:
        DataError: the file is missing, damaged, cut short, not an image, or has more than `MAX_PIXELS`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "red.png")
        ...     Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(file)
        ...     load_image(file).getpixel((0, 0))  # transparent: white
        (255, 255, 255)
    """
    return open_picture(path).image


def open_picture(path: Path) -> Picture:
    """Open a photo as `load_image` does, and keep what the file said of itself (see `Picture`)."""
    stored, frames = _decode(path)
    orientation = _orientation(stored)
    rgb = np.asarray(_to_rgb(stored, path))
    return Picture(
        image=Image.fromarray(np.ascontiguousarray(turn(rgb, orientation))),
        stored_size=stored.size,
        orientation=orientation,
        frames=frames,
        mode=stored.mode,
    )


def load_mask(path: Path) -> NDArray[np.bool_]:
    """Read a plain mask file: black is unmarked, everything else is marked.

    Where the file has an alpha channel that varies, opaque is marked and colours do not count. In a JPEG,
    which smears edges, a pixel counts from half brightness on.

    Returns:
        (H, W) bool

    Raises:
        DataError: as `load_image`
    """
    image, _ = _decode(path)
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        alpha = pixels[..., 3]
        marked = alpha > 0 if alpha.min() < 255 else pixels[..., :3].any(axis=-1)
    elif image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        marked = np.asarray(image) > (_HALF if image.format == "JPEG" else 0)
    else:
        marked = np.asarray(image.convert("RGB")).max(axis=-1) > (_HALF if image.format == "JPEG" else 0)
    return np.ascontiguousarray(turn(np.asarray(marked, dtype=bool), _orientation(image)))


def load_signed_mask(path: Path) -> NDArray[np.float32]:
    """Read a signed mask file: 0 is negative, 128 (or 127) unmarked, 255 positive, linear between.

    Returns:
        (H, W) float32 in [-1, 1]

    Raises:
        DataError: as `load_image`, or if the file has colours, which have no order.
    """
    image, _ = _decode(path)
    grey = np.asarray(_to_rgb(image, path)).astype(np.int16)
    if (grey != grey[..., :1]).any():
        raise DataError(
            f"{path}: a signed mask has to be grey (0 negative, 128 unmarked, 255 positive), got colours; "
            "save it as an 8-bit greyscale PNG"
        )
    value = grey[..., 0]
    signed = np.where(value == _HALF, 0, (value - 128) / 127).clip(-1, 1).astype(np.float32)
    return np.ascontiguousarray(turn(signed, _orientation(image)))


def turn(pixels: NDArray[_Pixel], orientation: int) -> NDArray[_Pixel]:
    """Bring stored pixels upright, as EXIF orientation 1 to 8 asks.

    Args:
        pixels: (H, W) or (H, W, C)
        orientation: EXIF orientation

    Returns:
        (H, W, ...), for orientations 5 to 8 (W, H, ...)

    Example:
        >>> turn(np.array([[1, 2, 3]]), 6).tolist()  # the camera was held upright
        [[1], [2], [3]]
    """
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.swapaxes(0, 1) if orientation >= 5 else pixels


def _orientation(image: Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF data is no reason to refuse the pixels
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _decode(path: Path) -> tuple[Image.Image, int]:
    """The first frame as stored, fully decoded, and the number of frames."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below; Pillow's warning would only be printed.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_FORMATS)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            image.close()
            raise DataError(
                f"{path}: {image.width} x {image.height} = {pixels:,} pixels, the limit is {MAX_PIXELS:,}; "
                "save a smaller copy (training resizes images anyway)"
            )
        # A phone's MPO holds a photo and its preview: no animation.
        frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        image.load()
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: {error}; lookright's limit is {MAX_PIXELS:,} pixels: save a smaller copy"
        ) from error
    # Pillow's decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error.
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read as an image ({error}); it is damaged, cut short or not an image: "
            "copy it again or remove it"
        ) from error
    return image, frames


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bit(np.asarray(image), path)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Deep greyscale to 8 bits by the range that the type of file implies, not by what this image holds."""
    floats = values.astype(np.float64)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return (floats / 257).round().astype(np.uint8)
    low, high = float(floats.min()), float(floats.max())
    if not (low >= 0 and high <= 65535):  # also true of NaN
        raise DataError(
            f"{path}: values from {low:g} to {high:g} in a {values.dtype} image; save it with 8 or 16 bits"
        )
    is_share = values.dtype.kind == "f" and high <= 1
    scale = 255.0 if is_share else 1.0 if high <= 255 else 1 / 257
    return (floats * scale).round().astype(np.uint8)
