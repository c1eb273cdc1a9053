"""The evidence outside the annotation and what it certifies; docs/theory.md states and proves it."""

from __future__ import annotations

import torch
from torch import Tensor

from lookright.metrics.pixels import where_defined
from lookright.resize import resize_annotation

OUTSIDE = ("evidence_outside", "positive_outside", "negative_outside", "outside_margin", "certified")
"""All that `evidence_outside` gives."""


def outside_cells(annotation: Tensor, grid: tuple[int, int]) -> Tensor:
    """The cells of a grid that are not marked positive.

    The rule of `lookright.resize.ResizeRule.AREA`, by which the losses see the annotation too: a cell is
    marked positive if at least a quarter of its area is, and more than is marked negative. All others are
    outside, unmarked ones as well.

    Args:
        annotation: (B, 1, H, W) in [-1, 1], of any dtype
        grid: (h, w)

    Returns:
        (B, 1, h, w) bool

    Example:
        >>> outside_cells(torch.tensor([[[[1.0, 0.0, 0.0, 0.0, -1.0, 0.0]]]]), (1, 3))
        tensor([[[[False,  True,  True]]]])
    """
    return resize_annotation(annotation.float(), grid) <= 0


@torch.no_grad()
def evidence_outside(
    evidence: Tensor, logits: Tensor, annotation: Tensor, annotated: Tensor
) -> dict[str, Tensor]:
    r"""Bound what the cells outside the annotation can do to a prediction.

    For a network that ends in global average pooling and a linear head, e_k(ij) = w_k . A_ij / (h w) is the
    share of cell ij in logit k: z_k = sum_ij e_k(ij) + b_k. With c the predicted class, k a rival and O the
    cells outside,

        P = sum_O max(e_c - e_k, 0)        N = sum_O max(e_k - e_c, 0)

    Scaling the features of every cell of O by a factor of its own in [0, 1] brings z_c - z_k to some value
    between z_c - z_k - P and z_c - z_k + N; both are reached. So the prediction is certain not to change if
    and only if z_c - z_k > P for all rivals. Told are the amounts for the rival of the smallest
    z_c - z_k - P.

    Args:
        evidence: e, (B, K, h, w), K >= 2 (see `lookright.explainers.CellEvidence`)
        logits: z, (B, K)
        annotation: (B, 1, H, W) in [-1, 1], of any dtype
        annotated: (B,) bool, whether a person has annotated the image

    Returns:
        each (B,) float32, NaN where no cell is marked positive or the image is not annotated:

        - evidence_outside: max(P, N), the largest change of the logit difference
        - positive_outside, negative_outside: P and N
        - outside_margin: z_c - z_k
        - certified: 1 where the prediction is certain not to change, else 0

    Raises:
        ValueError: wrong shape, or fewer than two classes.

    Example:
        >>> evidence = torch.tensor([[[[3.0, 1.0]], [[0.0, 1.5]]]])  # two classes, two cells
        >>> logits, annotation = evidence.sum(dim=(2, 3)), torch.tensor([[[[1.0, 0.0]]]])
        >>> found = evidence_outside(evidence, logits, annotation, torch.tensor([True]))
        >>> found["positive_outside"], found["negative_outside"], found["certified"]
        (tensor([0.]), tensor([0.5000]), tensor([1.]))
    """
    _check(evidence, logits, annotation, annotated)
    outside = outside_cells(annotation, (evidence.shape[2], evidence.shape[3]))
    evidence, logits = evidence.float(), logits.float()
    predicted = logits.argmax(dim=1, keepdim=True)
    lead = evidence.take_along_dim(predicted[:, :, None, None], dim=1) - evidence
    lead = lead * outside
    positive, negative = lead.relu().sum(dim=(2, 3)), (-lead).relu().sum(dim=(2, 3))
    margin = logits.take_along_dim(predicted, dim=1) - logits
    left = (margin - positive).scatter(1, predicted, torch.inf)
    worst = left.argmin(dim=1, keepdim=True)
    p, n, m, rest = (t.take_along_dim(worst, dim=1)[:, 0] for t in (positive, negative, margin, left))
    defined = annotated & ~outside.flatten(1).all(dim=1)
    values = (torch.maximum(p, n), p, n, m, (rest > 0).float())
    return {name: where_defined(defined, value) for name, value in zip(OUTSIDE, values, strict=True)}


def _check(evidence: Tensor, logits: Tensor, annotation: Tensor, annotated: Tensor) -> None:
    if evidence.ndim != 4 or evidence.shape[1] < 2:
        raise ValueError(f"evidence: (B, K, h, w) with K of at least 2, got {tuple(evidence.shape)}")
    if logits.shape != evidence.shape[:2]:
        raise ValueError(f"logits: {tuple(evidence.shape[:2])} as the evidence, got {tuple(logits.shape)}")
    if annotation.ndim != 4 or annotation.shape[:2] != (len(evidence), 1):
        raise ValueError(f"annotation: ({len(evidence)}, 1, H, W), got {tuple(annotation.shape)}")
    if annotated.shape != evidence.shape[:1]:
        raise ValueError(f"annotated: one flag per image, ({len(evidence)},), got {tuple(annotated.shape)}")
