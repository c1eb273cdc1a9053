"""What a layer gives, seen as a map (B, C, h, w)."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from lookright.errors import ConfigError


class Layout(Enum):
    """The order of a layer's axes."""

    CHANNELS_FIRST = "(B, C, h, w)"
    """convolutional networks"""
    CHANNELS_LAST = "(B, h, w, C)"
    """Swin"""
    TOKENS = "(B, N, C)"
    """ViT; class, distillation and register tokens first, then the patches row by row"""


def to_map(tensor: Tensor, layout: Layout, grid: tuple[int, int], prefix: int = 0) -> Tensor:
    """See what a layer gives, or the gradient there, as a map. It is a view, so gradients pass.

    Args:
        tensor: (B, C, h, w), (B, h, w, C) or (B, prefix + h * w, C)
        layout: which of these
        grid: (h, w), which tokens alone do not tell; maps may be of another size (a larger image)
        prefix: how many tokens stand before those of the patches; they are left out

    Returns:
        (B, C, h, w)

    Raises:
        ConfigError: another number of axes or tokens.

    Example:
        >>> import torch
        >>> to_map(torch.arange(5).view(1, 5, 1), Layout.TOKENS, (2, 2), prefix=1)
        tensor([[[[1, 2],
                  [3, 4]]]])
    """
    if tensor.ndim != (3 if layout is Layout.TOKENS else 4):
        raise ConfigError(f"target_layer: got {tuple(tensor.shape)}, expected {layout.value}")
    match layout:
        case Layout.CHANNELS_FIRST:
            return tensor
        case Layout.CHANNELS_LAST:
            return tensor.permute(0, 3, 1, 2)
        case Layout.TOKENS:
            if tensor.shape[1] != prefix + grid[0] * grid[1]:
                raise ConfigError(
                    f"target_layer: got {tensor.shape[1]} tokens, expected {prefix} + {grid[0]} x {grid[1]}; "
                    "give images of the size that the layer was found for (image_size)"
                )
            return tensor[:, prefix:].transpose(1, 2).reshape(tensor.shape[0], tensor.shape[2], *grid)


def from_map(maps: Tensor, tensor: Tensor, layout: Layout, prefix: int = 0) -> Tensor:
    """Put a map in the place of the one that a tensor holds: what `to_map` sees, the other way round.

    Args:
        maps: (B, C, h, w)
        tensor: what the layer gave; its other tokens stay
        layout: of the tensor
        prefix: how many tokens stand before those of the patches

    Returns:
        of the shape of `tensor`

    Example:
        >>> import torch
        >>> from_map(torch.zeros(1, 1, 2, 2), torch.ones(1, 5, 1), Layout.TOKENS, prefix=1).flatten()
        tensor([1., 0., 0., 0., 0.])
    """
    match layout:
        case Layout.CHANNELS_FIRST:
            return maps
        case Layout.CHANNELS_LAST:
            return maps.permute(0, 2, 3, 1)
        case Layout.TOKENS:
            return torch.cat([tensor[:, :prefix], maps.flatten(2).transpose(1, 2)], dim=1)
