"""What a data folder holds once it is read: images with labels, splits and marks, and what is wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookright.data.images import MAX_PIXELS
from lookright.data.masks import load_mask, load_signed_mask
from lookright.data.shapes import Shape
from lookright.errors import DataError
from lookright.types import Task

Area = NDArray[np.float32]
Grid = NDArray[np.float32] | NDArray[np.uint8]


class Marks(ABC):
    """Where a person said that the evidence is, and where it must not be, for one image."""

    @property
    def covers_whole_image(self) -> bool:
        """True for a grid that is laid over the image whatever its shape; others keep the image's aspect."""
        return False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of these marks alone; none where many images share one."""
        return ()

    @abstractmethod
    def sides(self) -> tuple[Area, Area]:
        """Positive and negative marks apart, at the size they were drawn at.

        Returns:
            two (H, W) float32 in [0, 1]

        Raises:
            DataError: the file is missing, damaged or contradicts itself.
        """

    def render(self) -> Area:
        """Positive minus negative: what both sides mark equally is unmarked.

        Returns:
            (H, W) float32 in [-1, 1], at the size the marks were drawn at

        Raises:
            DataError: as `sides`
        """
        positive, negative = self.sides()
        return positive - negative


@dataclass(frozen=True)
class MaskFiles(Marks):
    """Mask files of each side: black is unmarked. What is negative in a positive array is a negative mark.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.array([[0, 255]], np.uint8)).save(Path(folder, "mask.png"))
        ...     MaskFiles(positive=None, negative=Path(folder, "mask.png")).render()
        array([[ 0., -1.]], dtype=float32)
    """

    positive: Path | None
    negative: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """One or both files."""
        return tuple(path for path in (self.positive, self.negative) if path)

    def sides(self) -> tuple[Area, Area]:
        """Read the files; a side without a file is empty."""
        signed = load_mask(self.positive) if self.positive else None
        negative = load_mask(self.negative) if self.negative else None
        if negative is not None and negative.min() < 0:
            raise DataError(
                f"{self.negative}: values from {negative.min():g} in a file of negative marks; give their "
                "strength there, from 0 to 1"
            )
        positive = None if signed is None else signed.clip(min=0)
        if signed is not None and signed.min() < 0:
            below = (-signed).clip(min=0)
            below, negative = _both(below, negative, f"{self.positive} and {self.negative}")
            negative = np.maximum(below, negative)
        return _both(positive, negative, f"{self.positive} and {self.negative}")


@dataclass(frozen=True)
class SignedMask(Marks):
    """One grey file: 0 is negative, 128 unmarked, 255 positive; or an array in [-1, 1].

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.array([[0, 128, 255]], np.uint8)).save(Path(folder, "mask.png"))
        ...     SignedMask(Path(folder, "mask.png")).render()
        array([[-1.,  0.,  1.]], dtype=float32)
    """

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def sides(self) -> tuple[Area, Area]:
        """Read the file and part it at 128."""
        signed = load_signed_mask(self.path)
        return signed.clip(min=0), (-signed).clip(min=0)


@dataclass(frozen=True)
class Shapes(Marks):
    """Polygons, boxes, scribbles, points and run-length masks on a canvas of a stated size.

    Example:
        >>> from lookright.data.shapes import Box
        >>> Shapes(height=1, width=3, positive=(Box(0, 0, 1, 1),), negative=(Box(2, 0, 3, 1),)).render()
        array([[ 1.,  0., -1.]], dtype=float32)
    """

    height: int
    width: int
    positive: tuple[Shape, ...] = ()
    negative: tuple[Shape, ...] = ()
    source: str = "shapes"
    """file and image, for messages"""

    def sides(self) -> tuple[Area, Area]:
        """Fill the shapes of each side: their union."""
        if self.height < 1 or self.width < 1 or self.height * self.width > MAX_PIXELS:
            raise DataError(
                f"{self.source}: a canvas of {self.width} x {self.height} pixels, the limit is "
                f"{MAX_PIXELS:,}; correct the width and height there"
            )
        return self._fill(self.positive), self._fill(self.negative)

    def _fill(self, shapes: tuple[Shape, ...]) -> Area:
        canvas = np.zeros((self.height, self.width), dtype=bool)
        for shape in shapes:
            try:
                shape.fill(canvas)
            except DataError as error:
                raise DataError(f"{self.source}: {error}; draw it again or delete it") from error
        return canvas.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Matrix(Marks):
    """Grids of numbers laid over the whole image, whatever its shape: RES's own files, or made ones.

    Example:
        >>> Matrix(np.array([[1.0, 0.5]], np.float32), np.array([[0.0, 0.5]], np.float32)).render()
        array([[1., 0.]], dtype=float32)
    """

    positive: Grid | None
    """(H, W) in [0, 1]"""
    negative: Grid | None = None
    source: str = "matrix"
    made: bool = False
    """whether a program made them of what people drew: then they are not made rough once more"""

    @property
    def covers_whole_image(self) -> bool:
        """A matrix fits every image."""
        return True

    def sides(self) -> tuple[Area, Area]:
        """The grids as given; a side without one is empty."""
        positive = None if self.positive is None else self.positive.astype(np.float32)
        negative = None if self.negative is None else self.negative.astype(np.float32)
        return _both(positive, negative, self.source)


def _both(positive: Area | None, negative: Area | None, source: str) -> tuple[Area, Area]:
    if positive is None and negative is None:
        raise DataError(f"{source}: neither a positive nor a negative side")
    if positive is None:
        positive = np.zeros_like(negative)
    if negative is None:
        negative = np.zeros_like(positive)
    if positive.shape != negative.shape:
        raise DataError(
            f"{source}: the positive marks are {size_text(positive)}, the negative ones "
            f"{size_text(negative)}; bring both to the size of the image"
        )
    return positive, negative


def size_text(pixels: NDArray[np.generic]) -> str:
    """Width x height, as people give it.

    Example:
        >>> size_text(np.zeros((2, 3)))
        '3 x 2'
    """
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


@dataclass(frozen=True)
class Item:
    """One image: where it is, what it shows, what is marked on it."""

    id: str
    """path below the data folder, with forward slashes: the `file` of split.csv"""
    path: Path
    label: int
    """index into `AnnotationSet.classes`; -1 where the task is not single-label"""
    split: str
    group: str | None = None
    """the `group` of split.csv or labels.csv, for per-group accuracy"""
    marks: Marks | None = None
    """None: nobody has annotated this image, or its marks are in `marks_by_class`"""
    labels: tuple[int, ...] = ()
    """multi-label: every class that the image shows, ascending"""
    value: float | None = None
    """regression: the number to predict"""
    marks_by_class: Mapping[int, Marks] = field(default_factory=dict, hash=False)
    """multi-label: the marks of each annotated class"""

    @property
    def annotated(self) -> bool:
        """Whether a person has annotated this image at all."""
        return self.marks is not None or bool(self.marks_by_class)


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file, and what to do about it."""

    path: Path
    what: str
    remedy: str
    fatal: bool = False
    """whether training refuses to start; if not, the file is left out or the remark is for information"""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class AnnotationSet:
    """Everything that a data folder holds."""

    root: Path
    classes: tuple[str, ...]
    """class names in the order of their labels; none where a number is predicted"""
    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()
    task: Task = Task.SINGLE_LABEL

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold images: train, val, test first, others after them."""
        names = {item.split for item in self.items}
        usual = [name for name in ("train", "val", "test") if name in names]
        return (*usual, *sorted(names.difference(usual)))

    def split(self, name: str) -> AnnotationSet:
        """The images of one split, with the classes of the whole.

        Raises:
            DataError: no image belongs to that split.

        Example:
            >>> item = Item("images/cat/a.jpg", Path("a.jpg"), label=0, split="train")
            >>> whole = AnnotationSet(Path("pets"), ("cat",), (item,))
            >>> len(whole.split("train").items)
            1
            >>> whole.split("test")
            Traceback (most recent call last):
            lookright.errors.DataError: pets: no image is in split 'test'; the splits there are: train. ...
        """
        items = tuple(item for item in self.items if item.split == name)
        if not items:
            there = ", ".join(self.splits) or "none"
            raise DataError(
                f"{self.root}: no image is in split {name!r}; the splits there are: {there}. "
                f"Name one of these, or put some images into {name!r} (column 'split' of split.csv)"
            )
        return replace(self, items=items)
