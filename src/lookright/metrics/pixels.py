"""Regions of pixels: enlarging a map to them, comparing them with marks, counting them; and all that fast."""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.normalize import EPSILON

SMALL_MAP = 32
"""Up to this many cells a side, two products of matrices enlarge a map faster than `F.interpolate`."""


class Overlap:
    """Pixels per image, each (B,) float32: exact for images of up to 2^24 pixels. Counted when asked for.

    Args:
        region: (B, 1, H, W) bool
        annotation: (B, 1, H, W) in [-1, 1]

    Raises:
        ValueError: shapes that differ.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> Overlap(torch.tensor([[[[True, False, True, True]]]]), annotation).true_positive
        tensor([1.])
    """

    def __init__(self, region: Tensor, annotation: Tensor) -> None:
        if region.shape != annotation.shape:
            raise ValueError(
                f"region and annotation: one shape (B, 1, H, W), got {tuple(region.shape)} and "
                f"{tuple(annotation.shape)}; binarize the explanation to the annotation's size"
            )
        self._region, self._annotation = region, annotation
        self._positive = mask_of(annotation)

    @cached_property
    def positive(self) -> Tensor:
        """Pixels that are marked positive."""
        return count_pixels(self._positive)

    @cached_property
    def true_positive(self) -> Tensor:
        """Of these, pixels of the region."""
        return count_pixels(self._region & self._positive)

    def iou(self) -> Tensor:
        """Intersection over union with the positive marks."""
        union = count_pixels(self._region) + self.positive - self.true_positive
        return where_defined(self.positive > 0, self.true_positive / union)

    @cached_property
    def _precision(self) -> Tensor:
        negative = mask_of(-self._annotation)
        false_positive = count_pixels(self._region & negative)
        value = self.true_positive / (self.true_positive + false_positive + EPSILON)
        return where_defined((self.positive > 0) & negative.flatten(1).any(dim=1), value)

    def precision(self) -> Tensor:
        """Share of the marked part of the region that is positive."""
        return self._precision

    def recall(self) -> Tensor:
        """Share of the positive marks that the region covers."""
        # tp + fn is every positive pixel.
        return where_defined(self.positive > 0, self.true_positive / (self.positive + EPSILON))

    def f1(self) -> Tensor:
        """Harmonic mean of precision and recall."""
        p, r = self.precision(), self.recall()
        return 2 * p * r / (p + r + EPSILON)


def mask_of(annotation: Tensor) -> Tensor:
    """Where something positive is marked, bool. Of int8, which holds -1, 0 and 1, without comparing.

    Example:
        >>> mask_of(torch.tensor([-1, 0, 1], dtype=torch.int8))
        tensor([False, False,  True])
    """
    if annotation.dtype == torch.int8:  # torch compares bytes one by one, and clamps many at once
        return annotation.clamp(min=0).view(torch.bool)
    return annotation > 0


def count_pixels(mask: Tensor) -> Tensor:
    """Pixels per image, (B,); as bytes, since torch.count_nonzero along dimensions is several times slower.

    Example:
        >>> count_pixels(torch.tensor([[True, False], [True, True]]))
        tensor([1., 2.])
    """
    return mask.view(torch.uint8).flatten(1).sum(dim=1, dtype=torch.int32).float()


def where_defined(defined: Tensor, values: Tensor) -> Tensor:
    """NaN where a figure is not defined, (B,)."""
    return values.masked_fill(~defined, float("nan"))


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear to (H, W), align_corners=False.

    Args:
        maps: (B, C, h, w)
        size: H and W

    Example:
        >>> enlarge(torch.tensor([[[[0.0, 4.0]]]]), (1, 4))
        tensor([[[[0., 1., 3., 4.]]]])
    """
    height, width = maps.shape[-2:]
    if maps.device.type != "cpu" or max(height, width) > SMALL_MAP:
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    with torch.autocast("cpu", enabled=False):
        return interpolation(height, size[0]) @ maps @ interpolation(width, size[1]).T


@lru_cache(maxsize=16)
def interpolation(cells: int, pixels: int) -> Tensor:
    """Bilinear interpolation along one side, as a matrix (pixels, cells), on the CPU; not to be changed.

    Example:
        >>> interpolation(2, 4)[1]
        tensor([0.7500, 0.2500])
    """
    one_by_one = torch.eye(cells)[None]
    return F.interpolate(one_by_one, size=pixels, mode="linear", align_corners=False)[0].T.contiguous()
