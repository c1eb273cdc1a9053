"""How well an explanation lies on the annotation, image by image: the RES metrics and the pointing games.

A figure is NaN for an image that cannot define it, instead of a 0 or 1 that any explanation would get.
Pure, batched, float32 whatever the input.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import NonFiniteError
from lookright.normalize import EPSILON

THRESHOLD = 0.5
FIGURES = ("iou", "precision", "recall", "f1", "epg", "pointing_game")
"""All that `localization` can give."""
SMALL_MAP = 32
"""Up to this many cells a side, two products of matrices enlarge a map faster than `F.interpolate`."""


def rescale(explanation: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring an explanation to [0, 1] at the size of the image, as the RES metrics see it.

    Minus its minimum, bilinear to `size` (align_corners=False), divided by its maximum + 1e-6, in this
    order: the maximum is the enlarged map's (Gao et al., RES, KDD 2022, published code).

    Args:
        explanation: (B, 1, h, w), raw: any range
        size: (H, W)

    Returns:
        (B, 1, H, W) in [0, 1), float32; all zeros where the map is constant.

    Raises:
        ValueError: wrong shape.
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> rescale(torch.tensor([[[[-1.0, 3.0]]]]), (1, 4)).round(decimals=4)
        tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]]]])
    """
    return _divide_by_maximum(_enlarge(_shifted(_checked(explanation)), size))


def binarize(explanation: Tensor, size: tuple[int, int], threshold: float = THRESHOLD) -> Tensor:
    """The region E that an explanation claims: where `rescale` exceeds the threshold.

    Args:
        explanation: (B, 1, h, w), raw: any range
        size: (H, W)
        threshold: in [0, 1)

    Returns:
        (B, 1, H, W) bool; empty where the map is constant.

    Raises:
        ValueError: wrong shape, or threshold outside [0, 1).
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> binarize(torch.tensor([[[[-1.0, 3.0]]]]), (1, 4))
        tensor([[[[False, False,  True,  True]]]])
    """
    _check_threshold(threshold)
    return rescale(explanation, size) > threshold


def iou(region: Tensor, annotation: Tensor) -> Tensor:
    """Intersection over union of region and positive marks: |E and F > 0| / |E or F > 0|.

    Args:
        region: (B, 1, H, W) bool, of `binarize`
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) in [0, 1]; NaN where nothing positive is marked.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> iou(torch.tensor([[[[True, False, False, True]]]]), annotation)
        tensor([0.3333])
    """
    return _Overlap.of(region, annotation).iou()


def precision(region: Tensor, annotation: Tensor) -> Tensor:
    """Share of the marked part of the region that is positive: tp / (tp + fp + 1e-6).

    tp = |E and F > 0|, fp = |E and F < 0|. What is unmarked does not count. Where only one sign is marked
    every explanation gets the same precision, so that the figure says nothing about it and is left out.

    Args:
        region: (B, 1, H, W) bool, of `binarize`
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) in [0, 1); NaN unless both signs are marked. 0 where the region meets no mark.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> precision(torch.tensor([[[[True, False, True, True]]]]), annotation)
        tensor([0.5000])
    """
    return _Overlap.of(region, annotation).precision()


def recall(region: Tensor, annotation: Tensor) -> Tensor:
    """Share of the positive marks that the region covers: tp / (tp + fn + 1e-6).

    Args:
        region: (B, 1, H, W) bool, of `binarize`
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) in [0, 1); NaN where nothing positive is marked.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> recall(torch.tensor([[[[True, False, True, True]]]]), annotation)
        tensor([0.5000])
    """
    return _Overlap.of(region, annotation).recall()


def f1(region: Tensor, annotation: Tensor) -> Tensor:
    """Harmonic mean of precision P and recall R: 2 P R / (P + R + 1e-6).

    Args:
        region: (B, 1, H, W) bool, of `binarize`
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) in [0, 1); NaN unless both signs are marked.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> f1(torch.tensor([[[[True, False, True, True]]]]), annotation)
        tensor([0.5000])
    """
    return _Overlap.of(region, annotation).f1()


def energy_pointing_game(explanation: Tensor, annotation: Tensor) -> Tensor:
    """Share of the positive evidence that lies on the positive marks: sum of A+ over F > 0 / sum of A+.

    A+ = relu(map), bilinear to the image (Wang et al., Score-CAM, CVPR Workshops 2020).

    Args:
        explanation: (B, 1, h, w), raw: its zero means "no evidence"
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) in [0, 1]; NaN where nothing positive is marked, or where no value of the map is positive.

    Raises:
        ValueError: wrong shape.
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> annotation = torch.tensor([[[[1.0, 0.0]]]])
        >>> energy_pointing_game(torch.tensor([[[[3.0, 1.0]]]]), annotation)
        tensor([0.7500])
    """
    raw = _checked(explanation)
    size = _check_pair(raw, annotation)
    return _energy_share(_enlarge(raw.relu(), size), annotation > 0)


def pointing_game(explanation: Tensor, annotation: Tensor) -> Tensor:
    """Whether the largest value of the enlarged map lies on a positive mark (Zhang et al., ECCV 2016).

    Without the paper's tolerance of 15 pixels: marks are regions here. Where several pixels share the
    maximum, as those beyond the centre of a cell at the border do, half of them must lie on positive marks.
    A constant map points nowhere, which is a miss.

    Args:
        explanation: (B, 1, h, w), raw: any range
        annotation: (B, 1, H, W) in [-1, 1]

    Returns:
        (B,) 1.0 for a hit, 0.0 for a miss; NaN where nothing positive is marked.

    Raises:
        ValueError: wrong shape.
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> pointing_game(torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
        tensor([1.])
    """
    raw = _checked(explanation)
    size = _check_pair(raw, annotation)
    return _points_at(_enlarge(_shifted(raw), size), annotation > 0)


@torch.no_grad()
def localization(
    explanation: Tensor,
    annotation: Tensor,
    annotated: Tensor,
    threshold: float = THRESHOLD,
    figures: Collection[str] = FIGURES,
) -> dict[str, Tensor]:
    """Figures of this module for a batch, enlarging the map once for all; only what is asked for costs.

    Args:
        explanation: (B, 1, h, w), raw, of the predicted class
        annotation: (B, 1, H, W) in [-1, 1], of any dtype
        annotated: (B,) bool, whether a person has annotated the image
        threshold: of `binarize`, in [0, 1)
        figures: which ones, of "iou", "precision", "recall", "f1", "epg" and "pointing_game"

    Returns:
        the figures, in the order of this list, each (B,) float32; NaN where the figure is not defined for the
        image, and in every figure of an image that is not annotated.

    Raises:
        ValueError: wrong shape, threshold outside [0, 1), or a figure that there is not.
        NonFiniteError: the explanation holds NaN or infinity.

    Example:
        >>> explanation = torch.tensor([[[[3.0, 1.0]]]]).expand(2, 1, 1, 2)
        >>> annotation = torch.tensor([[[[1.0, 0.0]]]]).expand(2, 1, 1, 2)
        >>> figures = localization(explanation, annotation, torch.tensor([True, False]))
        >>> figures["iou"], figures["epg"]
        (tensor([1., nan]), tensor([0.7500,    nan]))
    """
    _check_threshold(threshold)
    raw = _checked(explanation)
    size = _check_pair(raw, annotation)
    if annotated.shape != raw.shape[:1]:
        raise ValueError(f"annotated: one flag per image, ({len(raw)},), got {tuple(annotated.shape)}")
    if unknown := set(figures) - set(FIGURES):
        raise ValueError(f"figures: no {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    found: dict[str, Tensor] = {}
    if {"iou", "precision", "recall", "f1", "pointing_game"} & set(figures):
        enlarged = _enlarge(_shifted(raw), size)
        overlap = _Overlap.of(_divide_by_maximum(enlarged) > threshold, annotation)
        by_overlap = {
            "iou": overlap.iou,
            "precision": overlap.precision,
            "recall": overlap.recall,
            "f1": overlap.f1,
        }
        found |= {name: figure() for name, figure in by_overlap.items() if name in figures}
    if "epg" in figures:
        found["epg"] = _energy_share(_enlarge(raw.relu(), size), annotation > 0)
    if "pointing_game" in figures:
        found["pointing_game"] = _points_at(enlarged, annotation > 0)
    return {name: _where(annotated, values) for name, values in found.items()}


class _Overlap(NamedTuple):
    """Pixels per image, each (B,) float32: exact for images of up to 2^24 pixels."""

    region: Tensor
    positive: Tensor
    negative: Tensor
    true_positive: Tensor
    false_positive: Tensor

    @classmethod
    def of(cls, region: Tensor, annotation: Tensor) -> _Overlap:
        if region.shape != annotation.shape:
            raise ValueError(
                f"region and annotation: one shape (B, 1, H, W), got {tuple(region.shape)} and "
                f"{tuple(annotation.shape)}; binarize the explanation to the annotation's size"
            )
        positive, negative = annotation > 0, annotation < 0
        layers = (region, positive, negative, region & positive, region & negative)
        return cls(*(_count(layer) for layer in layers))

    def iou(self) -> Tensor:
        union = self.region + self.positive - self.true_positive
        return _where(self.positive > 0, self.true_positive / union)

    def precision(self) -> Tensor:
        value = self.true_positive / (self.true_positive + self.false_positive + EPSILON)
        return _where((self.positive > 0) & (self.negative > 0), value)

    def recall(self) -> Tensor:
        # tp + fn is every positive pixel.
        return _where(self.positive > 0, self.true_positive / (self.positive + EPSILON))

    def f1(self) -> Tensor:
        p, r = self.precision(), self.recall()
        return 2 * p * r / (p + r + EPSILON)


def _energy_share(energy: Tensor, positive: Tensor) -> Tensor:
    total = energy.sum(dim=(1, 2, 3))
    share = torch.where(positive, energy, 0.0).sum(dim=(1, 2, 3)) / total
    return _where(positive.flatten(1).any(dim=1) & (total > 0), share)


def _points_at(enlarged: Tensor, positive: Tensor) -> Tensor:
    flat, marks = enlarged.flatten(1), positive.flatten(1)
    maximum = flat.amax(dim=1)
    # Pixels that are equal by the definition of bilinear interpolation differ by rounding.
    top = flat >= maximum[:, None] * (1 - 1e-5)
    on_mark = _count(top & marks) * 2 >= _count(top)
    return _where(marks.any(dim=1), (on_mark & (maximum > 0)).float())


def _where(defined: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(~defined, float("nan"))


def _shifted(raw: Tensor) -> Tensor:
    return raw - raw.amin(dim=(1, 2, 3), keepdim=True)


def _count(mask: Tensor) -> Tensor:
    """Pixels per image, (B,); as bytes, since torch.count_nonzero along dimensions is several times slower."""
    return mask.view(torch.uint8).flatten(1).sum(dim=1, dtype=torch.int32).float()


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = maps.shape[-2:]
    if maps.device.type != "cpu" or max(height, width) > SMALL_MAP:
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    with torch.autocast("cpu", enabled=False):
        return _interpolation(height, size[0]) @ maps @ _interpolation(width, size[1]).T


@lru_cache(maxsize=16)
def _interpolation(cells: int, pixels: int) -> Tensor:
    """Bilinear interpolation along one side, as a matrix (pixels, cells)."""
    one_by_one = torch.eye(cells)[None]
    return F.interpolate(one_by_one, size=pixels, mode="linear", align_corners=False)[0].T.contiguous()


def _divide_by_maximum(maps: Tensor) -> Tensor:
    return maps / (maps.amax(dim=(1, 2, 3), keepdim=True) + EPSILON)


def _checked(explanation: Tensor) -> Tensor:
    if explanation.ndim != 4 or explanation.shape[1] != 1:
        raise ValueError(
            f"explanation: (B, 1, h, w), got {tuple(explanation.shape)}; reduce several channels to one first"
        )
    raw = explanation.float()
    finite = raw.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        images = (~finite).nonzero()[:, 0].tolist()
        raise NonFiniteError(
            f"explanation: NaN or infinite for image(s) {images} of the batch; "
            "try --precision 32, and check that the weights of the model are finite"
        )
    return raw


def _check_pair(explanation: Tensor, annotation: Tensor) -> tuple[int, int]:
    if annotation.ndim != 4 or annotation.shape[:2] != explanation.shape[:2]:
        raise ValueError(
            f"annotation: ({len(explanation)}, 1, H, W) to go with the explanation, "
            f"got {tuple(annotation.shape)}"
        )
    height, width = annotation.shape[2:]
    return height, width


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: at least 0 and below 1, got {threshold}; RES uses 0.5")
