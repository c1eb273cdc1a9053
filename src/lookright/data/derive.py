"""What follows from marks: negative ones from positive ones, and what lies outside."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError


def mark_outside(annotation: Tensor, margin: float) -> Tensor:
    """Mark as negative what lies farther than a margin from every positive mark.

    An annotation with a negative mark stays as it is: a person has said where the evidence must not be. So
    does one without a positive mark.

    Args:
        annotation: (1, H, W) in [-1, 1]
        margin: share of the longer side, in [0, 1); distance along rows and columns

    Returns:
        (1, H, W) in [-1, 1]

    Raises:
        ConfigError: the margin is out of its range.

    Example:
        >>> import torch
        >>> mark_outside(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), margin=0.25)
        tensor([[[ 1.,  0., -1., -1.]]])
    """
    if not 0 <= margin < 1:
        raise ConfigError(f"negatives_outside: got {margin}, need a share of the image in [0, 1)")
    positive = annotation > 0
    if bool((annotation < 0).any()) or not bool(positive.any()):
        return annotation
    radius = round(margin * max(annotation.shape[-2:]))
    size = 2 * radius + 1  # along rows, then along columns: as a square window, and much cheaper
    near = F.max_pool2d(positive.float()[None], (1, size), stride=1, padding=(0, radius))
    near = F.max_pool2d(near, (size, 1), stride=1, padding=(radius, 0))[0] > 0
    return annotation - (~near).to(annotation.dtype)


def outside(annotation: Tensor) -> Tensor:
    """Say what lies outside an annotation: its negative marks, or else all that is not marked positive.

    Args:
        annotation: (..., 1, H, W) in [-1, 1]

    Returns:
        (..., 1, H, W) bool; False throughout where nothing is marked

    Example:
        >>> outside(torch.tensor([[[[1.0, 0.0, -1.0]]], [[[1.0, 0.0, 0.0]]], [[[0.0, 0.0, 0.0]]]])).tolist()
        [[[[False, False, True]]], [[[False, True, True]]], [[[False, False, False]]]]
    """
    negative, positive = annotation < 0, annotation > 0
    has_negative, has_positive = (
        sign.flatten(-3).any(dim=-1)[..., None, None, None] for sign in (negative, positive)
    )
    return torch.where(has_negative, negative, ~positive & has_positive)
