"""The order of numbers in memory in which a CPU runs the upper part of a network fastest."""

from __future__ import annotations

import torch
from torch import nn


def use_channels_last(network: nn.Module) -> bool:
    """Bring convolutions that learn to channels-last, if any of them is pointwise (1 x 1).

    On channels-last maps a pointwise convolution is one product of matrices. Where only the upper part of a
    network learns, most of its time goes into those; depthwise ones on the large maps below gain nothing. The
    values stay as they are. Call it before the optimizer is made, whose state takes the order of the weights.

    Args:
        network: what learns of it is decided

    Returns:
        whether it did; the maps that the convolutions get should be channels-last too

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3).requires_grad_(False), nn.Conv2d(4, 8, 1))
        >>> use_channels_last(network), use_channels_last(network[:1])
        (True, False)
    """
    learning = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad
    ]
    if not any(tuple(module.kernel_size) == (1, 1) for module in learning):
        return False
    for module in learning:
        module.to(memory_format=torch.channels_last)
    return True
