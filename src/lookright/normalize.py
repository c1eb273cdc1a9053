"""Normalisations that bring a map to a scale, image by image: one place for explanations and imputers.

All carry the published epsilon, so a constant map gives zeros and not NaN.
"""

from __future__ import annotations

from torch import Tensor

from lookright.types import Normalization

EPSILON = 1e-6


def min_max(maps: Tensor) -> Tensor:
    r"""Shift and scale each map to [0, 1]: (m - min m) / (max(m - min m) + 1e-6).

    Args:
        maps: (B, C, h, w)

    Returns:
        (B, C, h, w) in [0, 1); all zeros where a map is constant.

    Example:
        >>> import torch
        >>> min_max(torch.tensor([[[[1.0, 3.0]]]])).round(decimals=4)
        tensor([[[[0., 1.]]]])
    """
    shifted = maps - maps.amin(dim=(1, 2, 3), keepdim=True)
    return shifted / (shifted.amax(dim=(1, 2, 3), keepdim=True) + EPSILON)


def relu_max(maps: Tensor) -> Tensor:
    r"""Keep the positive part and scale it to [0, 1]: relu(m) / (max relu(m) + 1e-6).

    Args:
        maps: (B, C, h, w)

    Returns:
        (B, C, h, w) in [0, 1); all zeros where no value is positive.

    Example:
        >>> import torch
        >>> relu_max(torch.tensor([[[[-1.0, 2.0]]]])).round(decimals=4)
        tensor([[[[0., 1.]]]])
    """
    positive = maps.relu()
    return positive / (positive.amax(dim=(1, 2, 3), keepdim=True) + EPSILON)


def max_abs(maps: Tensor) -> Tensor:
    r"""Scale each map to [-1, 1], signs kept: m / (max |m| + 1e-6).

    Args:
        maps: (B, C, h, w)

    Returns:
        (B, C, h, w) in (-1, 1); all zeros where a map is.

    Example:
        >>> import torch
        >>> max_abs(torch.tensor([[[[-4.0, 2.0]]]])).round(decimals=4)
        tensor([[[[-1.0000,  0.5000]]]])
    """
    return maps / (maps.abs().amax(dim=(1, 2, 3), keepdim=True) + EPSILON)


def normalize(maps: Tensor, normalization: Normalization) -> Tensor:
    """Apply the normalisation that a `lookright.types.Request` names."""
    if normalization is Normalization.MIN_MAX:
        return min_max(maps)
    if normalization is Normalization.RELU_MAX:
        return relu_max(maps)
    if normalization is Normalization.MAX_ABS:
        return max_abs(maps)
    return maps
