"""Pictures as bytes, to be sent or kept."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """Encode a picture.

    Args:
        image: the picture
        format: PNG or JPEG
        options: of Pillow's writer

    Example:
        >>> encoded(Image.new("L", (1, 1)), "PNG")[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
