"""How well an explanation lies on the annotation, image by image: the RES metrics and the pointing games.

A figure is NaN for an image that cannot define it, instead of a 0 or 1 that any explanation would get.
Pure, batched, float32 whatever the input.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from lookright.errors import NonFiniteError
from lookright.metrics.pixels import Overlap, count_pixels, enlarge, mask_of, where_defined
from lookright.normalize import EPSILON

THRESHOLD = 0.5
FIGURES = ("iou", "precision", "recall", "f1", "epg", "pointing_game")
"""All that `localization` can give."""
_TOGETHER = 8
"""How many images are compared at a time on a CPU: what lies between stays in its cache."""


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
    enlarged = enlarge(_shifted(_checked(explanation)), size)
    return enlarged / _maximum(enlarged)


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
    return _region(enlarge(_shifted(_checked(explanation)), size), threshold)


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
    return Overlap(region, annotation).iou()


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
    return Overlap(region, annotation).precision()


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
    return Overlap(region, annotation).recall()


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
    return Overlap(region, annotation).f1()


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
    return _energy_share(enlarge(raw.relu(), size), annotation > 0)


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
    return _points_at(enlarge(_shifted(raw), size), annotation > 0)


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
    _check_pair(raw, annotation)
    if annotated.shape != raw.shape[:1]:
        raise ValueError(f"annotated: one flag per image, ({len(raw)},), got {tuple(annotated.shape)}")
    if unknown := set(figures) - set(FIGURES):
        raise ValueError(f"figures: no {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    together = _TOGETHER if raw.device.type == "cpu" else max(1, len(raw))
    parts = [
        _figures(raw[i : i + together], annotation[i : i + together], threshold, figures)
        for i in range(0, max(1, len(raw)), together)
    ]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {name: where_defined(annotated, values) for name, values in joined.items()}


def _figures(
    raw: Tensor, annotation: Tensor, threshold: float, figures: Collection[str]
) -> dict[str, Tensor]:
    size = (annotation.shape[2], annotation.shape[3])
    positive = mask_of(annotation)
    found: dict[str, Tensor] = {}
    if {"iou", "precision", "recall", "f1", "pointing_game"} & set(figures):
        enlarged = enlarge(_shifted(raw), size)
        overlap = Overlap(_region(enlarged, threshold), annotation)
        by_overlap = {
            "iou": overlap.iou,
            "precision": overlap.precision,
            "recall": overlap.recall,
            "f1": overlap.f1,
        }
        found |= {name: figure() for name, figure in by_overlap.items() if name in figures}
    if "epg" in figures:
        found["epg"] = _energy_share(enlarge(raw.relu(), size), positive)
    if "pointing_game" in figures:
        found["pointing_game"] = _points_at(enlarged, positive)
    return found


def _energy_share(energy: Tensor, positive: Tensor) -> Tensor:
    total = energy.sum(dim=(1, 2, 3))
    share = torch.where(positive, energy, 0.0).sum(dim=(1, 2, 3)) / total
    return where_defined(positive.flatten(1).any(dim=1) & (total > 0), share)


def _points_at(enlarged: Tensor, positive: Tensor) -> Tensor:
    flat, marks = enlarged.flatten(1), positive.flatten(1)
    maximum = flat.amax(dim=1)
    # Pixels that are equal by the definition of bilinear interpolation differ by rounding.
    top = flat >= maximum[:, None] * (1 - 1e-5)
    on_mark = count_pixels(top & marks) * 2 >= count_pixels(top)
    return where_defined(marks.any(dim=1), (on_mark & (maximum > 0)).float())


def _shifted(raw: Tensor) -> Tensor:
    return raw - raw.amin(dim=(1, 2, 3), keepdim=True)


def _maximum(maps: Tensor) -> Tensor:
    return maps.amax(dim=(1, 2, 3), keepdim=True) + EPSILON


def _region(enlarged: Tensor, threshold: float) -> Tensor:
    return enlarged > threshold * _maximum(enlarged)


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
