"""What a data set keeps of the files that it has read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from torch import Tensor
from torch.utils.data import get_worker_info

OfClasses = tuple[tuple[int, Tensor], ...]
"""Each annotated class of an image, and its annotation."""


class Memory:
    """Decoded photos and marks by the index of their image, as many as fit.

    Args:
        limit_bytes: of all of them; with worker processes, which keep their own, shared out among these
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.pixels: dict[int, Tensor] = {}
        self.marks: dict[int, OfClasses] = {}
        self._nbytes = 0

    def keep_pixels(self, index: int, pixels: Tensor) -> None:
        """Keep a decoded photo, if it fits."""
        if self._takes(pixels.nbytes):
            self.pixels[index] = pixels

    def keep_marks(self, index: int, marks: OfClasses) -> None:
        """Keep the marks of an image, if they fit."""
        if self._takes(sum(annotation.nbytes for _, annotation in marks)):
            self.marks[index] = marks

    def without_marks(self, indices: Collection[int]) -> Self:
        """Give the same without the marks of some images."""
        other = type(self)(self.limit_bytes)
        for index, pixels in self.pixels.items():
            other.keep_pixels(index, pixels)
        for index, marks in self.marks.items():
            if index not in indices:
                other.keep_marks(index, marks)
        return other

    def _takes(self, nbytes: int) -> bool:
        worker = get_worker_info()
        fits = self._nbytes + nbytes <= self.limit_bytes // (worker.num_workers if worker else 1)
        self._nbytes += nbytes if fits else 0
        return fits
