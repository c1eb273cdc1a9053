"""Photos as the page shows them: whole, and as thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lookright.annotate.encoded import encoded
from lookright.annotate.kept import Kept
from lookright.annotate.refused import RefusedError
from lookright.data.annotations import Item
from lookright.data.images import decode, exif_orientation, open_frame, open_picture, turn

THUMBNAIL = 160
"""Longer side of a thumbnail in pixels."""

_JPEG = ("JPEG", "MPO")  # a phone's JPEG, its preview behind it
_PLAIN = dict.fromkeys(_JPEG, ("image/jpeg", ("L", "RGB"))) | {"PNG": ("image/png", ("L", "RGB"))}
_JPEG_QUALITY = 92
_THUMBNAILS = 2000
_PHOTOS = 16


class Encoded(NamedTuple):
    """A picture as it is sent."""

    media_type: str
    content: bytes


class PhotoStore:
    """The photos of a project, encoded for a browser, the last ones kept.

    A photo may be a symbolic link that leads out of the data folder: the readers follow links, and what
    they list is what people train on. Nothing that they do not list is ever opened.

    Args:
        items: the photos; their positions are the indices
        inside: folder that no photo may lead out of; None where links may lead anywhere
    """

    def __init__(self, items: tuple[Item, ...], *, inside: Path | None = None) -> None:
        self._items = items
        self._inside = inside and inside.resolve()
        self._photos = Kept[int](_PHOTOS, 128 << 20)
        self._thumbnails = Kept[int](_THUMBNAILS)
        self._types: dict[int, str] = {}

    def check(self, index: int) -> None:
        """Refuse a photo that leads out of the folder.

        Args:
            index: of the photo

        Raises:
            RefusedError: 403, it does.
        """
        item = self._items[index]
        if self._inside is not None and not item.path.resolve().is_relative_to(self._inside):
            raise RefusedError(
                403,
                f"{item.id} is a link out of the data folder, which other machines are not shown; start with "
                "--follow-links where they may see it",
            )

    def photo(self, index: int) -> Encoded:
        """A photo at its full size, upright, as its pixels are read for training.

        Args:
            index: of the photo

        Raises:
            DataError: it cannot be read.
        """
        content = self._photos.get(index, lambda: self._encode(index))
        return Encoded(self._types[index], content)

    def thumbnail(self, index: int) -> Encoded:
        """A small JPEG of a photo, its longer side `THUMBNAIL` or less.

        Args:
            index: of the photo

        Raises:
            DataError: it cannot be read.
        """
        return Encoded("image/jpeg", self._thumbnails.get(index, lambda: self._shrink(index)))

    def _encode(self, index: int) -> bytes:
        path = self._items[index].path
        stored, frames = decode(path)
        media_type, modes = _PLAIN.get(stored.format or "", ("image/png", ()))
        as_it_is = stored.mode in modes and frames == 1 and not stored.has_transparency_data
        if as_it_is and exif_orientation(stored) == 1:
            self._types[index] = media_type
            return path.read_bytes()
        upright = open_picture(path).image
        if stored.format in _JPEG:
            self._types[index] = "image/jpeg"
            return encoded(upright, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        self._types[index] = "image/png"
        return encoded(upright, "PNG", compress_level=1)

    def _shrink(self, index: int) -> bytes:
        path = self._items[index].path
        image = _open_reduced(path) or open_picture(path).image
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return encoded(image, "JPEG", quality=80)


def _open_reduced(path: Path) -> Image.Image | None:
    """A JPEG upright, decoded at an eighth to all of its size: many times as fast. None for other photos.

    Raises:
        DataError: it is no photo, or too large.
    """
    open_frame(path)
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.mode not in ("L", "RGB"):
                return None
            image.draft(image.mode, (2 * THUMBNAIL, 2 * THUMBNAIL))
            upright = turn(np.asarray(image.convert("RGB")), exif_orientation(image))
    except Exception:  # another format, or damaged: whoever opens it whole says so
        return None
    return Image.fromarray(np.ascontiguousarray(upright))
