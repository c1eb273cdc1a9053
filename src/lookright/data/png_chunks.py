"""What a PNG says of itself, read past its pixels: its EXIF data may stand before or after them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

_SIGNATURE = 8
_HEAD = struct.Struct(">I4s")
_CHECKSUM = 4
_PIXELS = (b"IDAT", b"fdAT")


def without_pixels(path: Path) -> io.BytesIO:
    """The chunks of a PNG up to where its pixels would begin, those behind the pixels among them.

    Pillow, asked for the EXIF data of a PNG that has none before its pixels, decodes them all.

    Args:
        path: a PNG; one that is cut short gives what is there

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "a.png")
        ...     Image.new("RGB", (3, 2)).save(file, dpi=(72, 72))
        ...     Image.open(without_pixels(file)).size
        (3, 2)
    """
    kept = io.BytesIO()
    with path.open("rb") as file:
        kept.write(file.read(_SIGNATURE))
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, kind = _HEAD.unpack(head)
            if kind == b"IEND":
                break
            if kind in _PIXELS:
                file.seek(length + _CHECKSUM, io.SEEK_CUR)
            else:
                kept.write(head + file.read(length + _CHECKSUM))
    kept.write(_HEAD.pack(0, b"IDAT"))
    kept.seek(0)
    return kept
