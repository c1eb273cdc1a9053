"""Getting at the activation of a layer during one forward pass, and leaving nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.twice import twice_differentiable


@dataclass
class Captured:
    """What the layer gave: filled when the forward pass runs through it."""

    activation: Tensor | None = None
    """(B, C, h, w)"""


@contextmanager
def capture(layer: nn.Module, name: str, *, second_order: bool = False) -> Iterator[Captured]:
    """Record the output of `layer` while the context is open; the hook is gone afterwards, come what may.

    The autograd graph starts at the layer at the latest: where gradients are off, or nothing below the
    layer is trained, only the part of the network above it is recorded. That makes an explanation at
    inference cost next to nothing.

    Args:
        layer: the target layer
        name: how to call it in an error
        second_order: make the part above the layer differentiable twice

    Raises:
        ConfigError: the layer's output is not one (B, C, h, w) tensor.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
        >>> with torch.no_grad(), capture(network[0], "0") as captured:
        ...     _ = network(torch.zeros(1, 3, 8, 8))
        >>> captured.activation.shape
        torch.Size([1, 4, 6, 6])
    """
    captured = Captured()

    def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ConfigError(
                f"target_layer: '{name}' gives {got}, not a map (B, C, h, w); name a convolutional layer"
            )
        above.enter_context(torch.enable_grad())
        if second_order:
            above.enter_context(twice_differentiable())
        activation = output if output.requires_grad else output.detach().requires_grad_()
        captured.activation = activation
        # What comes next may work in place (a ReLU, say): it gets a copy, the map keeps the original.
        return activation.clone()

    handle = layer.register_forward_hook(hook)
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()), ExitStack() as above:
            yield captured
    finally:
        handle.remove()
