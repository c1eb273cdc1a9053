"""How well annotators agree: on one image, and over all images that two of them have marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_LEAST = 5
"""How many images of least agreement are named."""


class Overlap(NamedTuple):
    """Pixels of one image that two annotators marked positive."""

    both: int
    one: int
    """pixels that the one marked, whether the other did or not"""
    other: int
    pixels: int
    """of the image"""

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard): |A and B| / |A or B|."""
        return self.both / (self.one + self.other - self.both)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Overlap | None:
    """Compare what two people marked positive on one image. Negative pixels count as unmarked ones do.

    Args:
        one: (H, W), true where the one marked positive
        other: (H, W)

    Returns:
        None where one of them marked nothing positive: then there is nothing to compare.

    Example:
        >>> overlap(np.array([[True, True, False]]), np.array([[False, True, True]])).iou
        0.3333333333333333
    """
    ours, theirs = int(np.count_nonzero(one)), int(np.count_nonzero(other))
    if not ours or not theirs:
        return None
    return Overlap(int(np.count_nonzero(one & other)), ours, theirs, one.size)


@dataclass(frozen=True)
class Agreement:
    """How well two annotators agree over the images on which both marked something positive."""

    annotators: tuple[str, str]
    images: int
    iou: float
    """mean over these images"""
    kappa: float | None
    """Cohen's kappa over all pixels of these images; None where chance alone would agree everywhere"""
    least: tuple[tuple[str, float], ...]
    """image -> IoU where they agree least, the lowest first; at most `MOST_LEAST`"""


def agree(annotators: tuple[str, str], overlaps: Mapping[str, Overlap]) -> Agreement | None:
    """Sum up how two annotators agree.

    kappa = (p - e) / (1 - e) [1], where p is the share of the pixels of all these images on which both say
    the same (positive, or not), and e is the share that chance would give if each marked as many pixels as
    they did, anywhere. Unlike the IoU it counts pixels, so large marks and large images weigh more.

    [1] Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement, 1960.

    Args:
        annotators: names of the two
        overlaps: image -> how they overlap there

    Returns:
        None where there is no image to compare.

    Example:
        >>> found = agree(("anna", "ben"), {"a.png": Overlap(4, 4, 4, 16), "b.png": Overlap(1, 2, 3, 16)})
        >>> found.images, found.iou, round(found.kappa, 3), found.least[0]
        (2, 0.625, 0.711, ('b.png', 0.25))
    """
    if not overlaps:
        return None
    ious = {image: found.iou for image, found in overlaps.items()}
    both, one, other, pixels = (sum(column) for column in zip(*overlaps.values(), strict=True))
    same = (pixels - one - other + 2 * both) / pixels
    chance = (one * other + (pixels - one) * (pixels - other)) / pixels**2
    least = sorted(ious.items(), key=lambda found: (found[1], found[0]))[:MOST_LEAST]
    return Agreement(
        annotators,
        images=len(ious),
        iou=sum(ious.values()) / len(ious),
        kappa=(same - chance) / (1 - chance) if chance < 1 else None,
        least=tuple(least),
    )


def agree_pairwise(overlaps: Mapping[tuple[str, str], Mapping[str, Overlap]]) -> tuple[Agreement, ...]:
    """Sum up how every two annotators agree, those who agree least first.

    Args:
        overlaps: two annotators -> image -> how they overlap there
    """
    found = (agree(pair, of_pair) for pair, of_pair in overlaps.items())
    return tuple(sorted((one for one in found if one), key=lambda one: (one.iou, one.annotators)))
