"""The optimizer of a run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lookright.config import TrainConfig

MOMENTUM = 0.9


def make_optimizer(
    config: TrainConfig, parameters: Iterable[nn.Parameter], device: torch.device | str
) -> torch.optim.Optimizer:
    """Make the optimizer that the options name, one kernel for all weights where the device has it.

    AdamW (Loshchilov & Hutter, ICLR 2019), Adam (Kingma & Ba, ICLR 2015), or SGD with momentum 0.9. The
    fused kernels compute what the plain loop over the weights does, up to rounding.

    Args:
        config: `optimizer`, `lr`, `weight_decay`
        parameters: the trained ones
        device: where they are when the optimizer steps; they may be moved there later

    Example:
        >>> optimizer = make_optimizer(TrainConfig(lr=0.1), nn.Linear(2, 1).parameters(), "cpu")
        >>> type(optimizer).__name__, optimizer.defaults["fused"]
        ('AdamW', True)
    """
    given = list(parameters)
    fused = torch.device(device).type in ("cpu", "cuda") and all(p.is_floating_point() for p in given)
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(given, config.lr, weight_decay=config.weight_decay, fused=fused)
        case "adam":
            return torch.optim.Adam(given, config.lr, weight_decay=config.weight_decay, fused=fused)
        case "sgd":
            return torch.optim.SGD(
                given, config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay, fused=fused
            )
