"""The order of numbers in memory in which a CPU runs convolutions fastest."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def place(network: Network, device: torch.device | str) -> Network:
    """Move a network to a device; on a CPU its weights become channels-last.

    Convolutions with such weights give channels-last maps, on which a pointwise (1 x 1) one is one product of
    matrices and a depthwise one reads its memory in order. The values stay as they are. Call it before the
    optimizer is made, whose state takes the order of the weights.

    Args:
        network: changed in place
        device: where it is to run

    Returns:
        the same network

    Example:
        >>> place(nn.Conv2d(3, 4, 3), "cpu").weight.stride()
        (27, 1, 9, 3)
    """
    network.to(device)
    if torch.device(device).type == "cpu":
        network.to(memory_format=torch.channels_last)
    return network
