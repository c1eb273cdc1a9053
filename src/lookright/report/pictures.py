"""Turn photos, annotations and explanations into small pictures that lie inside the page itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.config import DataConfig
from lookright.data.align import align, align_marks
from lookright.data.annotations import Area, Item
from lookright.data.images import Picture, open_picture
from lookright.data.readers import read_annotations
from lookright.errors import DataError, LookrightError
from lookright.report.overlay import heat, outline

PHOTO = 224
"""Longer side of a photo in the report, pixels."""

HEAT = 72
"""Longer side of an explanation: maps have a few cells, and the browser smooths the rest."""

TINY = 64
"""Photos up to this size (digits, icons) are shown with their pixels, and kept without loss."""


@dataclass(frozen=True)
class Photo:
    """A photo of the page with the outline of its annotation, or what is to be said where there is none."""

    uri: str | None
    size: tuple[int, int]
    """width, height in the page"""
    outline: str | None = None
    tiny: bool = False
    notes: tuple[str, ...] = ()


def explanation(values: NDArray[np.float32], size: tuple[int, int]) -> str:
    """Embed an explanation (h, w) as a transparent layer for a photo of `size` (width, height)."""
    return _uri(_few_colours(heat(values, _fit(size, HEAT)), 128), "PNG")


def colours(values: NDArray[np.float32]) -> str:
    """Embed a small picture of colours (H, W, 3) from 0 to 255."""
    return _uri(Image.fromarray(values.round().astype(np.uint8)), "PNG")


def heat_scale(steps: int = 9) -> str:
    """The colours of explanations from low to high, as CSS writes a gradient's stops.

    Example:
        >>> heat_scale(3).count("rgb(")
        3
    """
    colours = np.array(heat(np.linspace(0, 1, steps, dtype=np.float32)[None], (steps, 1)))[0]
    return ", ".join(f"rgb({r} {g} {b} / {alpha / 255:.2f})" for r, g, b, alpha in colours)


class Photos:
    """The photos that the runs were evaluated on, and their annotations, read again.

    What is gone since then is noted and leaves a gap: a report of old runs is better than none.

    Args:
        config: the data of a run

    Example:
        >>> photos = Photos(DataConfig(data=Path("gone")))
        >>> photos.note
        'Annotation outlines are missing: gone: ...'
        >>> photos.embed("a.jpg", Path("gone/a.jpg")).uri is None
        True
    """

    def __init__(self, config: DataConfig) -> None:
        self.note = ""
        self._items: dict[str, Item] = {}
        self._classes: tuple[str, ...] = ()
        try:
            found = read_annotations(config)
            self._items = {item.id: item for item in found.items}
            self._classes = found.classes
        except LookrightError as error:
            self.note = f"Annotation outlines are missing: {error}"

    def embed(self, id: str, file: Path, explained: str | None = None) -> Photo:
        """Embed a photo and the outline of its annotation; `notes` say what is missing.

        Args:
            id: of the image
            file: the photo
            explained: the class whose annotation is wanted, where an image has several
        """
        try:
            picture = open_picture(file)
        except DataError:
            return Photo(None, (PHOTO, PHOTO), notes=("The photo is no longer there, or cannot be read.",))
        size = _fit(picture.image.size, PHOTO)
        tiny = max(picture.image.size) <= TINY
        image = picture.image if tiny else picture.image.resize(size, Image.Resampling.LANCZOS)
        outline, notes = self._outline(id, picture, size, explained)
        return Photo(_uri(image, "PNG" if tiny else "JPEG"), size, outline, tiny, notes)

    def _outline(
        self, id: str, picture: Picture, size: tuple[int, int], explained: str | None
    ) -> tuple[str | None, tuple[str, ...]]:
        if id not in self._items:
            return None, () if self.note else ("The image is no longer in the data folder.",)
        try:
            annotation = self._annotation(self._items[id], picture, explained)
        except DataError:
            return None, ("The annotation cannot be read.",)
        if annotation is None:
            return None, ("Not annotated.",)
        return _uri(_few_colours(outline(annotation, size), 4), "PNG"), ()

    def _annotation(self, item: Item, picture: Picture, explained: str | None) -> Area | None:
        if explained is None:
            return align(item, picture)
        label = self._classes.index(explained) if explained in self._classes else -1
        marks = item.marks_by_class.get(label)
        return None if marks is None else align_marks(marks, picture, item.id)


def _fit(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Scale (width, height) so that the longer side has `longer` pixels.

    Example:
        >>> _fit((640, 480), 224)
        (224, 168)
    """
    scale = longer / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _few_colours(image: Image.Image, colours: int) -> Image.Image:
    """Reduce a transparent layer to a palette: a third of the bytes, no visible difference."""
    return image.quantize(colours, method=Image.Quantize.FASTOCTREE)


def _uri(image: Image.Image, format: str) -> str:
    buffer = io.BytesIO()
    if format == "JPEG":
        image.convert("RGB").save(buffer, format, quality=78, optimize=True)
    else:
        image.save(buffer, format, optimize=True)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
