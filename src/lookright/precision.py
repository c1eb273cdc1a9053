"""The arithmetic of explanations and losses: float32 at least, whatever the network runs in."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """Bring half precision to float32; leave float64 as it is, so that gradients can be checked in it.

    Example:
        >>> full_precision(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def as_autocast(tensor: Tensor) -> Tensor:
    """Cast as autocast casts what is given to a matrix product or to attention, if it is on.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     as_autocast(torch.zeros(1)).dtype
        torch.bfloat16
    """
    device = tensor.device.type
    if torch.is_autocast_enabled(device) and tensor.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return tensor.to(torch.get_autocast_dtype(device))
    return tensor
