"""Several people who annotated one image, and how their marks become one annotation."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookright.data.annotations import Area, Marks, size_text
from lookright.errors import DataError


class Combination(enum.Enum):
    """How the marks of n annotators of an image become one annotation, pixel by pixel.

    a_i in [-1, 1] is what annotator i marked; only those who annotated the image count. The majority is the
    sign that more than n / 2 of them gave; where no sign has one, the pixel is unmarked.
    """

    MEAN = "mean"
    """1/n sum of a_i: opposite marks cancel, and a mark of one person alone survives, weakly"""
    MAJORITY = "majority"
    """the majority's sign: -1, 0 or 1"""
    AGREEMENT = "agreement"
    """the majority's sign times the share of the annotators who gave it, in (0.5, 1]: a weight"""


@dataclass(frozen=True)
class Annotators(Marks):
    """The marks of several annotators of one image.

    All have to be drawn at one size. With `Combination.MEAN` grades survive; the others count signs.

    Example:
        >>> from lookright.data.annotations import Matrix
        >>> people = [[1, 1, 0, 0], [1, 0, 0, -1], [1, 1, 1, -1]]
        >>> marks = tuple(Matrix(np.array([p]).clip(0), -np.array([p]).clip(-1, 0)) for p in people)
        >>> for combination in Combination:
        ...     print(combination.value, *Annotators(marks, combination).render()[0].round(2))
        mean 1.0 0.67 0.33 -0.67
        majority 1.0 1.0 0.0 -1.0
        agreement 1.0 0.67 0.0 -0.67
    """

    marks: tuple[Marks, ...]
    """of each annotator; at least one"""
    combination: Combination = Combination.MAJORITY
    names: tuple[str, ...] = ()
    """of the annotators, for messages"""

    @property
    def covers_whole_image(self) -> bool:
        """Whether those of every annotator do."""
        return all(marks.covers_whole_image for marks in self.marks)

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of every annotator."""
        return tuple(file for marks in self.marks for file in marks.files)

    def sides(self) -> tuple[Area, Area]:
        """Combine what the annotators marked; no pixel is on both sides.

        Raises:
            DataError: as the marks themselves, or they were drawn at different sizes.
        """
        drawn = [marks.render() for marks in self.marks]
        for other, marks in enumerate(drawn):
            if marks.shape != drawn[0].shape:
                raise DataError(
                    f"{self._name(other)}: drawn at {size_text(marks)}, that of {self._name(0)} at "
                    f"{size_text(drawn[0])}; bring both to the size of the image"
                )
        if self.combination is Combination.MEAN:
            combined = np.stack(drawn).mean(axis=0)
            return combined.clip(min=0), (-combined).clip(min=0)
        positive = np.stack([marks > 0 for marks in drawn]).mean(axis=0, dtype=np.float32)
        negative = np.stack([marks < 0 for marks in drawn]).mean(axis=0, dtype=np.float32)
        return self._majority(positive), self._majority(negative)

    def _majority(self, share: Area) -> Area:
        weight = share if self.combination is Combination.AGREEMENT else np.float32(1)
        return np.where(share > 0.5, weight, np.float32(0)).astype(np.float32)

    def _name(self, index: int) -> str:
        files = self.marks[index].files
        if files:
            return str(files[0])
        return f"annotator {self.names[index] if self.names else index + 1}"
