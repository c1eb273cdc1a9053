"""The reasonability matrix: predicted right or wrong, crossed with looked right or wrong."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookright.types import REASONABLE_IOU


class Cell(enum.Enum):
    """A cell of the reasonability matrix, as Gao et al. (GRADIA, CSCW 2022) name them."""

    REASONABLE_ACCURATE = "reasonable-accurate"
    UNREASONABLE_ACCURATE = "unreasonable-accurate"
    """Right for the wrong reason: the cell that accuracy cannot see."""
    REASONABLE_INACCURATE = "reasonable-inaccurate"
    UNREASONABLE_INACCURATE = "unreasonable-inaccurate"

    @classmethod
    def of(cls, reasonable: bool, correct: bool) -> Cell:
        """The cell of one image.

        Example:
            >>> Cell.of(reasonable=False, correct=True)
            <Cell.UNREASONABLE_ACCURATE: 'unreasonable-accurate'>
        """
        if correct:
            return cls.REASONABLE_ACCURATE if reasonable else cls.UNREASONABLE_ACCURATE
        return cls.REASONABLE_INACCURATE if reasonable else cls.UNREASONABLE_INACCURATE


def is_reasonable(iou: float, threshold: float = REASONABLE_IOU) -> bool | None:
    """Whether an explanation counts as reasonable: IoU >= threshold.

    GRADIA asked people whether an explanation is reasonable. The IoU with their annotation stands in for
    them here: it is repeatable, but it calls unreasonable what looks at a telling part of a large mark.

    Args:
        iou: in [0, 1]; NaN where it is not defined
        threshold: in (0, 1]

    Returns:
        None where the IoU is not defined.

    Raises:
        ValueError: threshold outside (0, 1].

    Example:
        >>> is_reasonable(0.5), is_reasonable(0.2), is_reasonable(float("nan"))
        (True, False, None)
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: above 0 and at most 1, got {threshold}")
    return None if math.isnan(iou) else iou >= threshold


@dataclass(frozen=True)
class ReasonabilityMatrix:
    """The images behind each cell of the reasonability matrix (Gao et al., GRADIA, CSCW 2022).

    Example:
        >>> matrix = ReasonabilityMatrix.of(["a", "b", "c"], [True, True, False], [True, False, None])
        >>> matrix.ids[Cell.UNREASONABLE_ACCURATE], matrix.n
        (('b',), 2)
        >>> matrix.counts[Cell.REASONABLE_ACCURATE]
        1
    """

    ids: Mapping[Cell, tuple[str, ...]]
    """ids of the images in each of the four cells, in the order given"""

    @classmethod
    def of(
        cls, ids: Sequence[str], correct: Sequence[bool], reasonable: Sequence[bool | None]
    ) -> ReasonabilityMatrix:
        """Sort images into the cells.

        Args:
            ids: per image
            correct: per image, whether it was predicted right
            reasonable: per image, of `is_reasonable`; None leaves the image out

        Raises:
            ValueError: the three differ in length.
        """
        if not len(ids) == len(correct) == len(reasonable):
            raise ValueError(
                f"ids, correct and reasonable: one each per image, "
                f"got {len(ids)}, {len(correct)} and {len(reasonable)}"
            )
        cells: dict[Cell, list[str]] = {cell: [] for cell in Cell}
        for id, right, sensible in zip(ids, correct, reasonable, strict=True):
            if sensible is not None:
                cells[Cell.of(bool(sensible), bool(right))].append(id)
        return cls({cell: tuple(members) for cell, members in cells.items()})

    @property
    def counts(self) -> dict[Cell, int]:
        """Images in each cell."""
        return {cell: len(self.ids[cell]) for cell in Cell}

    @property
    def n(self) -> int:
        """Images in all four cells."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, dict[str, float | int | None]]:
        """The matrix as metrics.json holds it: for each cell its share of the images, and how many lie in it.

        Example:
            >>> ReasonabilityMatrix.of(["a"], [True], [True]).as_json()["unreasonable-accurate"]
            {'value': 0.0, 'n': 0}
        """
        return {
            cell.value: {"value": count / self.n if self.n else None, "n": count}
            for cell, count in self.counts.items()
        }
