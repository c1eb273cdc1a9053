"""A figure and how many images it rests on: what every metric of lookright comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number of an evaluation, and the number of images that it rests on.

    Without the count a figure misleads: an explanation's precision, say, exists only for images on which
    something negative was marked.

    Raises:
        ValueError: `n` is negative, or `value` is finite without images (n = 0), or not finite with some.

    Example:
        >>> Figure(0.75, n=4)
        Figure(value=0.75, n=4)
    """

    value: float
    """NaN where the figure is undefined, which is where n = 0"""
    n: int
    """images that the figure rests on"""

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"n: a number of images, got {self.n}")
        if math.isfinite(self.value) != (self.n > 0) or math.isinf(self.value):
            raise ValueError(
                f"value: {self.value} for n = {self.n} images; it is finite where n > 0, and NaN where n = 0"
            )

    @classmethod
    def undefined(cls) -> Figure:
        """The figure that no image defines: NaN, n = 0."""
        return cls(math.nan, 0)

    @classmethod
    def mean(cls, values: Iterable[float]) -> Figure:
        """The mean over the images for which the value is defined, that is not NaN.

        Example:
            >>> Figure.mean([1.0, float("nan"), 0.5])
            Figure(value=0.75, n=2)
        """
        defined = [value for value in map(float, values) if not math.isnan(value)]
        return cls(math.fsum(defined) / len(defined), len(defined)) if defined else cls.undefined()

    def as_json(self) -> dict[str, float | int | None]:
        """The figure as metrics.json holds it; JSON has no NaN, so an undefined value is null.

        Example:
            >>> Figure.undefined().as_json()
            {'value': None, 'n': 0}
        """
        return {"value": self.value if self.n else None, "n": self.n}
