"""Bringing an annotation from the size it was drawn at to another: one rule for data and losses."""

from __future__ import annotations

import enum

import torch
from torch import Tensor
from torch.nn import functional as F

MINIMUM_SHARE = 0.25


class ResizeRule(enum.Enum):
    """How a cell of a coarser grid gets its mark."""

    AREA = "area"
    """The sign that covers more of the cell, if it covers at least a quarter of it: thin marks survive."""
    NEAREST = "nearest"
    """The pixel that torch's nearest-neighbour picks: the published RES code. Thin marks can vanish."""


def resize_annotation(
    annotation: Tensor, size: tuple[int, int], rule: ResizeRule = ResizeRule.AREA
) -> Tensor:
    """Bring an annotation to a grid.

    With `ResizeRule.AREA` a cell takes the sign whose share of the cell's area is larger and at least
    0.25, and the mean of the marks of that sign as its value (so binary marks stay binary). A cell that
    both signs share equally stays unmarked. Enlarging is nearest-neighbour under both rules.

    Args:
        annotation: (B, 1, H, W) in [-1, 1]
        size: (h, w) of the grid

    Returns:
        (B, 1, h, w) in [-1, 1]

    Example:
        >>> import torch
        >>> scribble = torch.zeros(1, 1, 4, 4)
        >>> scribble[..., 1, :] = 1.0  # one pixel thin
        >>> resize_annotation(scribble, (1, 1)).item()
        1.0
        >>> resize_annotation(scribble, (1, 1), ResizeRule.NEAREST).item()
        0.0
    """
    height, width = annotation.shape[-2:]
    if (height, width) == tuple(size):
        return annotation
    if rule is ResizeRule.NEAREST or (size[0] >= height and size[1] >= width):
        return F.interpolate(annotation, size=size, mode="nearest")
    positive, negative = annotation.clamp(min=0), (-annotation).clamp(min=0)
    layers = torch.cat([positive > 0, negative > 0, positive, negative], dim=1).to(annotation.dtype)
    pooled = F.adaptive_avg_pool2d(layers, size)
    share_positive, share_negative, sum_positive, sum_negative = (pooled[:, i : i + 1] for i in range(4))
    # Shares are multiples of 1 / pixels of the cell: the tolerance only absorbs rounding.
    enough = MINIMUM_SHARE - 1e-4
    is_positive = (share_positive > share_negative + 1e-4) & (share_positive >= enough)
    is_negative = (share_negative > share_positive + 1e-4) & (share_negative >= enough)
    value_positive = sum_positive / share_positive.clamp(min=1e-6)
    value_negative = sum_negative / share_negative.clamp(min=1e-6)
    # A binary annotation stays exactly binary: the two averages round alike, their ratio need not be 1.
    value_positive = torch.where(sum_positive == share_positive, 1.0, value_positive)
    value_negative = torch.where(sum_negative == share_negative, 1.0, value_negative)
    zero = torch.zeros_like(value_positive)
    return torch.where(is_positive, value_positive, torch.where(is_negative, -value_negative, zero))
