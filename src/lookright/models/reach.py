"""Whether the logits depend on what a layer gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lookright.models.modes import evaluating
from lookright.models.trace import failure, placement


class Reach:
    """One forward pass on random images, for gradients of the logits at the outputs of layers.

    A weight that is all zeros and may still learn (a new head, the last norm of a block) passes no gradient
    on although it connects: for this pass it is replaced by random numbers. Images and numbers come from a
    generator of their own, so torch's random state stays. So do the network's weights, `.grad`, modes and
    statistics; its hooks are gone.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        layers: name -> module
        image_size: H and W

    Raises:
        ConfigError: the network fails.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
        >>> Reach(network, {"0": network[0]}, image_size=8).gradient("0").shape
        torch.Size([2, 4, 6, 6])
    """

    def __init__(self, network: nn.Module, layers: Mapping[str, nn.Module], image_size: int) -> None:
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            drawn = torch.randn(shape, generator=generator, device="cpu")
            return drawn.to(**placement(network))

        self._outputs: dict[str, Tensor] = {}
        handles = []
        try:
            handles += [module.register_forward_hook(self._recorder(name)) for name, module in layers.items()]
            with evaluating(network), torch.enable_grad():
                # two images: a ReLU may be dead for one
                image = normal(2, 3, image_size, image_size).requires_grad_().clone()
                logits = torch.func.functional_call(network, _drawn(network, normal), (image,))
                # random shares: probabilities would sum to a constant
                self._score = (logits * normal(*logits.shape)).sum()
        except Exception as error:
            raise failure(error, image_size) from error
        finally:
            for handle in handles:
                handle.remove()

    def _recorder(self, name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, args: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            self._outputs[name] = output
            return output.clone()  # what comes next may work in place

        return hook

    def gradient(self, layer: str) -> Tensor | None:
        """Gradient of the logits at what a layer gave the last time, or None: they do not depend on it."""
        output = self._outputs.get(layer)
        if output is None or not output.requires_grad or not self._score.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(self._score, output, retain_graph=True, allow_unused=True)
        return gradient


def _drawn(network: nn.Module, normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Random numbers for the weights, not biases, that are all zeros and may learn."""
    return {
        name: normal(*parameter.shape) / math.prod(parameter.shape[1:]) ** 0.5
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
        and parameter.is_floating_point()
        and not parameter.is_meta
        and parameter.numel() > 0
        and not name.endswith("bias")
        and not parameter.any()
    }
