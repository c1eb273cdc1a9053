"""Opening photos as people have them: every mode, rotated, animated, damaged, huge."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from lookright.data.png_chunks import without_pixels
from lookright.errors import DataError

MAX_PIXELS = 89_478_485
"""Largest photo or mask that is decoded: Pillow's own mark for a decompression bomb."""

_ORIENTATION_TAG = 0x0112
# Pillow looks at the bytes, not at the name: without this list a .jpg could start Ghostscript.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True)
class Frame:
    """What marks need to know of a photo, and its file says without being decoded."""

    stored_size: tuple[int, int]
    """(width, height) of the pixels in the file, before the EXIF rotation"""
    orientation: int
    """EXIF orientation, 1 (upright) to 8"""

    @property
    def swaps_axes(self) -> bool:
        """Whether upright means a quarter turn: stored width and height change places."""
        return self.orientation >= 5

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright image."""
        width, height = self.stored_size
        return (height, width) if self.swaps_axes else (width, height)


@dataclass(frozen=True)
class Picture(Frame):
    """A decoded photo and what its file said of itself."""

    image: Image.Image
    """RGB, upright: as a viewer shows it"""
    frames: int
    """1, or the number of frames of an animation (the first one is used)"""
    mode: str
    """Pillow's mode of the file, for instance RGB, L, CMYK, I;16"""


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


def open_frame(path: Path) -> Frame:
    """Read what a photo's file says of its size and rotation; its pixels may be damaged.

    Raises:
        DataError: the file is missing, not an image, or has more than `MAX_PIXELS`.
    """
    with _opening(path) as image, image:
        stored_size = image.size
        if isinstance(image, TiffImageFile):  # its `size` is that of the upright image already
            stored_size = int(image.tag_v2[IMAGEWIDTH]), int(image.tag_v2[IMAGELENGTH])
        orientation = _png_orientation(path) if image.format == "PNG" else exif_orientation(image)
    return Frame(stored_size, orientation)


def open_picture(path: Path) -> Picture:
    """Open a photo as `load_image` does, and keep what the file said of itself (see `Picture`)."""
    decoded, frames = decode(path)
    to_turn = exif_orientation(decoded)
    # Pillow has turned a TIFF already, and forgotten that it did.
    frame = open_frame(path) if decoded.format == "TIFF" else Frame(decoded.size, to_turn)
    rgb = np.asarray(to_rgb(decoded, path))
    return Picture(
        image=Image.fromarray(np.ascontiguousarray(turn(rgb, to_turn))),
        stored_size=frame.stored_size,
        orientation=frame.orientation,
        frames=frames,
        mode=decoded.mode,
    )


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


def exif_orientation(image: Image.Image) -> int:
    """How pixels that are decoded are still to be turned: EXIF orientation, 1 (upright) to 8."""
    return _orientation(image.getexif)


def _png_orientation(path: Path) -> int:
    def told() -> Image.Exif:
        with Image.open(without_pixels(path), formats=("PNG",)) as image:
            return Image.Image.getexif(image)  # PngImageFile's own decodes

    return _orientation(told)


def _orientation(read: Callable[[], Image.Exif]) -> int:
    try:
        orientation = int(read().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF data is no reason to refuse the pixels
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def decode(path: Path) -> tuple[Image.Image, int]:
    """The first frame, fully decoded, and the number of frames.

    Pixels are as stored, but for those of a TIFF, which are upright: `exif_orientation` says what is left.

    Raises:
        DataError: as `load_image`
    """
    with _opening(path) as image:
        # A phone's MPO holds a photo and its preview: no animation.
        frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        if isinstance(image, TiffImageFile):
            # By its name, Pillow 13 maps uncompressed pixels as if they were stored upright: garbled.
            image.filename = ""
        image.load()
    return image, frames


@contextmanager
def _opening(path: Path) -> Iterator[Image.Image]:
    """Open an image without decoding it; what goes wrong then and within is told as a `DataError`."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; one photo is needed here")
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
        yield image
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


def to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Convert any mode to 8-bit RGB; transparent pixels are laid over white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        eight = (to_unit(np.asarray(image), path) * 255).round().astype(np.uint8)
        return Image.fromarray(eight).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def to_unit(values: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    """Greyscale to [0, 1] by the range that the type of file implies, not by what this image holds.

    Args:
        values: (H, W), bool, 8 or 16 bits, or deeper: then 1, 255 or 65535 is white, whichever holds them
        path: for the message

    Raises:
        DataError: values below 0, above 65535, or NaN
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b" or (kind == "u" and size <= 2):
        white = 1 if kind == "b" else 255 if size == 1 else 65535
        return values.astype(np.float32) / np.float32(white)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # also true of NaN
        raise DataError(
            f"{path}: values from {low:g} to {high:g} in a {values.dtype} image; save it with 8 or 16 bits"
        )
    white = 1 if kind == "f" and high <= 1 else 255 if high <= 255 else 65535
    return values.astype(np.float32) / np.float32(white)
