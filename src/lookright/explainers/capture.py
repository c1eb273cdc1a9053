"""Getting at what layers give during one forward pass, and leaving nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.twice import twice_differentiable


@contextmanager
def capture(layers: Mapping[str, nn.Module], *, second_order: bool = False) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers while the context is open; the hooks are gone afterwards, come what may.

    The autograd graph starts at the first of the layers at the latest: where gradients are off, or nothing
    below it is trained, only the part of the network above it is recorded. That makes an explanation at
    inference cost next to nothing.

    Args:
        layers: name -> module of the network; a module that runs twice is recorded the last time
        second_order: make the part above the first layer differentiable twice

    Yields:
        name -> output, filled when the forward pass runs through the layer

    Raises:
        ConfigError: a layer gives something else than one tensor.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
        >>> with torch.no_grad(), capture({"0": network[0]}) as captured:
        ...     _ = network(torch.zeros(1, 3, 8, 8))
        >>> captured["0"].shape
        torch.Size([1, 4, 6, 6])
    """
    captured: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise ConfigError(
                    f"target_layer: '{name}' gives a {type(output).__name__}, not one tensor; name another"
                )
            if not captured:
                above.enter_context(torch.enable_grad())
                if second_order:
                    above.enter_context(twice_differentiable())
            captured[name] = output if output.requires_grad else output.detach().requires_grad_()
            # What comes next may work in place (a ReLU, say): it gets a copy, the map keeps the original.
            return captured[name].clone()

        return hook

    handles = []
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()), ExitStack() as above:
            handles += [module.register_forward_hook(recorder(name)) for name, module in layers.items()]
            yield captured
    finally:
        for handle in handles:
            handle.remove()
