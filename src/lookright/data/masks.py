"""Opening mask files: black and white ones, graded ones, signed ones, and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lookright.data.images import MAX_PIXELS, decode, exif_orientation, to_rgb, to_unit, turn
from lookright.data.layout import ARRAY_SUFFIX
from lookright.errors import DataError

_HALF = 127
_EDGE = 5
"""Side of the window, in pixels, within which a smeared edge goes from black to white."""
_DARK, _BRIGHT = 0.1, 0.9
_GRADED_SHARE = 0.05


def load_mask(path: Path) -> NDArray[np.float32]:
    """Read a mask file of one side: black is unmarked, everything else is marked.

    A black and white file gives 0 and 1 alone: smeared edges do not count as grades (`is_graded` tells). In
    a graded grey file, of 8 or 16 bits or floats, black is 0 and white is 1. Where the file has an alpha
    channel that varies, opaque is marked and colours do not count. A JPEG, which smears edges, is never
    graded: a pixel counts from half brightness on. An array (.npy) is taken as it is, see `load_array`.

    Returns:
        (H, W) float32 in [0, 1]; in [-1, 1] from an array

    Raises:
        DataError: as `lookright.data.load_image` and `load_array`

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.array([[0, 255]], np.uint8)).save(Path(folder, "mask.png"))
        ...     load_mask(Path(folder, "mask.png"))
        array([[0., 1.]], dtype=float32)
    """
    if path.suffix.lower() == ARRAY_SUFFIX:
        return load_array(path)
    image, _ = decode(path)
    grey, coloured = _brightness(image, path)
    if image.format == "JPEG":
        grey = (grey > _HALF / 255).astype(np.float32)
    elif coloured or not is_graded(grey):
        grey = (grey > 0).astype(np.float32)
    return np.ascontiguousarray(turn(grey, exif_orientation(image)))


def is_graded(grey: NDArray[np.float32]) -> bool:
    """Tell a graded map from a black and white one.

    Graded: the brightest pixel is at least half white, and of the pixels that are not dark (below 0.1 of
    the brightest) more than 5 % are middling (up to 0.9 of it) with no dark pixel within two pixels. So
    smoothed edges, thin smoothed lines, and dark numbers such as 1, 2, 3 of instances do not count as grades.

    Args:
        grey: (H, W) in [0, 1]

    Example:
        >>> square = np.zeros((16, 16), dtype=np.float32)
        >>> square[4:12, 4:12] = 0.5  # a smoothed edge ...
        >>> square[5:11, 5:11] = 1.0  # ... of a white square
        >>> is_graded(square), is_graded(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16))
        (False, True)
    """
    brightest = grey.max()
    if brightest < 0.5:
        return False
    dark = grey < _DARK * brightest
    middling = ~dark & (grey < _BRIGHT * brightest)
    if not middling.any():
        return False
    near_dark = np.asarray(Image.fromarray(dark.astype(np.uint8)).filter(ImageFilter.MaxFilter(_EDGE))) > 0
    return bool((middling & ~near_dark).sum() > _GRADED_SHARE * (~dark).sum())


def load_signed_mask(path: Path) -> NDArray[np.float32]:
    """Read a signed mask file: 0 is negative, 128 (or 127) unmarked, 255 positive, linear between.

    In a JPEG, which smears edges, a mark counts from half strength on, and then as a whole one. An array
    (.npy) is taken as it is, see `load_array`.

    Returns:
        (H, W) float32 in [-1, 1]

    Raises:
        DataError: as `lookright.data.load_image` and `load_array`, or if the file has colours, which have no
            order.
    """
    if path.suffix.lower() == ARRAY_SUFFIX:
        return load_array(path)
    image, _ = decode(path)
    grey = np.asarray(to_rgb(image, path)).astype(np.int16)
    if (grey != grey[..., :1]).any():
        raise DataError(
            f"{path}: a signed mask has to be grey (0 negative, 128 unmarked, 255 positive), got colours; "
            "save it as an 8-bit greyscale PNG"
        )
    value = grey[..., 0]
    signed = np.where(value == _HALF, 0, (value - 128) / 127).clip(-1, 1).astype(np.float32)
    if image.format == "JPEG":
        signed = np.where(np.abs(signed) > 0.5, np.sign(signed), np.float32(0))
    return np.ascontiguousarray(turn(signed, exif_orientation(image)))


def load_array(path: Path) -> NDArray[np.float32]:
    """Read a NumPy file of marks: positive numbers are positive marks, negative ones negative, 0 unmarked.

    Returns:
        (H, W) float32 in [-1, 1]

    Raises:
        DataError: the file is missing, is no .npy file, holds objects, or is no matrix in [-1, 1].

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "a.npy")
        ...     np.save(file, np.array([[0.5, -1.0]]))
        ...     load_array(file)
        array([[ 0.5, -1. ]], dtype=float32)
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        # Mapped, so that the size is known before anything is read; it refuses pickled objects.
        values = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # damaged headers raise nearly anything
        raise DataError(
            f"{path}: cannot be read as an array ({error}); save it again with numpy.save(file, marks)"
        ) from error
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: an array of shape {values.shape} and type {values.dtype}; save a matrix "
            "(height, width) of numbers in [-1, 1]"
        )
    if values.size > MAX_PIXELS:
        raise DataError(
            f"{path}: {values.shape[1]} x {values.shape[0]} = {values.size:,} pixels, the limit is "
            f"{MAX_PIXELS:,}; save a smaller copy (training resizes it anyway)"
        )
    marks = np.array(values, dtype=np.float32)
    low, high = float(marks.min()), float(marks.max())
    if not (low >= -1 and high <= 1):  # also true of NaN
        raise DataError(
            f"{path}: values from {low:g} to {high:g}; bring them to [-1, 1] (positive marks above 0, "
            "negative ones below, 0 unmarked)"
        )
    return marks


def _brightness(image: Image.Image, path: Path) -> tuple[NDArray[np.float32], bool]:
    """Brightness (H, W) in [0, 1], and whether the file has colours: those have no order."""
    is_grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
    if is_grey and not image.has_transparency_data:
        return to_unit(np.asarray(image), path), False
    pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    colours = pixels[..., :3]
    if pixels.shape[-1] == 4 and pixels[..., 3].min() < 255:
        return (pixels[..., 3] > 0).astype(np.float32), False
    return to_unit(colours.max(axis=-1), path), bool((colours != colours[..., :1]).any())
