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
    positive = annotation.clamp(min=0)
    sides = torch.cat([positive, positive - annotation], dim=1)
    pooled = F.adaptive_avg_pool2d(torch.cat([sides, (sides > 0).to(sides.dtype)], dim=1), size)
    total, share = pooled[:, :2], pooled[:, 2:]
    # More than the other side has, and a quarter. Shares are multiples of 1 / pixels of the cell: the
    # tolerance only absorbs rounding.
    enough = (share.flip(1) + 1e-4).clamp(min=MINIMUM_SHARE - 1e-4)
    # A binary annotation stays exactly binary: the two averages round alike, their ratio need not be 1.
    value = torch.where(total == share, 1.0, total / share.clamp(min=1e-6)) * (share > enough)
    return value[:, :1] - value[:, 1:]
