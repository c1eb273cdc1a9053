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
