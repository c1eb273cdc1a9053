"""What every cell of the target layer says for every class, where that is exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.cam import ClassActivationMap
from lookright.explainers.capture import capture
from lookright.models.modes import evaluating
from lookright.models.trace import placement
from lookright.precision import full_precision

_ROUNDING = 1e-3


class CellEvidence:
    r"""Share of every cell in every logit of a network with a pooled linear head.

        e_k(ij) = w_k . A_ij / (h w)        z_k = sum_ij e_k(ij) + b_k

    e_k is the class activation map (Zhou et al., CVPR 2016) of class k over the number of cells. Whether a
    network is of that kind is tried out, as `ClassActivationMap` does and further: with features of either
    sign, small to large, in place of the target layer's. A hidden layer can be linear on the images at hand.

    Args:
        network: in evaluation mode image (B, 3, H, W) -> logits (B, K)
        target_layer: a module of the network or its name; found by itself if None
        image_size: size of the images

    Raises:
        ConfigError: what lies between the target layer and the logits is not pooling and one linear layer.

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=3).network.eval()
        >>> cells = CellEvidence(network, image_size=32)
        >>> with torch.no_grad(), cells.watch() as seen:
        ...     logits = network(torch.rand(4, 3, 32, 32))
        >>> evidence = cells.evidence(seen)
        >>> evidence.shape
        torch.Size([4, 3, 8, 8])
        >>> torch.allclose(evidence.sum(dim=(2, 3)) + cells.bias, logits, atol=1e-5)
        True
    """

    def __init__(
        self,
        network: nn.Module,
        target_layer: nn.Module | str | None = None,
        *,
        image_size: int = 224,
    ) -> None:
        self.explainer = ClassActivationMap(network, target_layer, image_size=image_size)
        self._layer = self.explainer.layer
        image = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
        layers = {self._layer.name: self._layer.module}
        with torch.no_grad(), evaluating(network), capture(layers) as captured:
            logits = network(image.to(**placement(network)))[0]
            activation = captured[self._layer.name]
            gradients = [torch.autograd.grad(z, activation, retain_graph=True)[0] for z in logits.unbind()]
        self.weight = torch.cat([self._maps(g).mean(dim=(2, 3)) for g in gradients])
        """w / (h w), (K, C) float32"""
        self.bias = full_precision(logits.detach()) - self._of(activation.detach()).sum(dim=(0, 2, 3))
        """b, (K,) float32"""
        self._check_is_linear(network, image.to(**placement(network)), activation.detach())

    @contextmanager
    def watch(self) -> Iterator[list[Tensor]]:
        """Keep what the target layer gives in the first forward pass while the context is open.

        Explainers that make passes of their own, at other images, make them after the one that is explained.
        The hooks are gone afterwards.

        Yields:
            empty, and after a forward pass the layer's output
        """
        seen: list[Tensor] = []
        is_over = False

        def keep(module: nn.Module, args: Any, output: Tensor) -> None:
            if not is_over:
                seen[:] = [output.detach().clone()]  # what follows may work in place

        def end(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal is_over
            is_over = True

        handles = [
            self._layer.module.register_forward_hook(keep),
            self.explainer.network.register_forward_hook(end),
        ]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def evidence(self, seen: list[Tensor]) -> Tensor:
        """Give e of a forward pass that was watched.

        Args:
            seen: of `watch`

        Returns:
            (B, K, h, w) float32, without a graph

        Raises:
            ConfigError: the target layer did not run.
        """
        if not seen:
            raise ConfigError(f"target_layer: '{self._layer.name}' did not run in the forward pass")
        return self._of(seen[0])

    def is_exact(self, evidence: Tensor, logits: Tensor) -> Tensor:
        """Tell for which images the evidence and the bias add up to the logits, to a thousandth of them.

        Args:
            evidence: e, (B, K, h, w)
            logits: z, (B, K)

        Returns:
            (B,) bool
        """
        gap = (evidence.sum(dim=(2, 3)) + self.bias.to(evidence.device) - logits).abs().amax(dim=1)
        return gap <= _ROUNDING * logits.abs().amax(dim=1).clamp(min=1)

    def _check_is_linear(self, network: nn.Module, image: Tensor, activation: Tensor) -> None:
        noise = torch.randn(activation.shape, generator=torch.Generator().manual_seed(0)).to(activation)
        noise = noise * activation.abs().amax()
        probes = torch.cat([size * noise for size in (0.0, 1.0, -1.0, 100.0, -100.0)])
        handle = self._layer.module.register_forward_hook(lambda module, args, output: probes.clone())
        try:
            with torch.no_grad(), evaluating(network):
                logits = network(image.expand(len(probes), -1, -1, -1))
        finally:
            handle.remove()
        if not bool(self.is_exact(self._of(probes), full_precision(logits)).all()):
            raise ConfigError(
                f"target_layer: after '{self._layer.name}' comes something else than average pooling over "
                "the grid and one linear layer, so its cells have no exact share in the logits"
            )

    def _of(self, activation: Tensor) -> Tensor:
        maps = self._maps(activation)
        with torch.autocast(maps.device.type, enabled=False):
            evidence = self.weight.to(maps.device) @ maps.flatten(2)
        return evidence.view(*evidence.shape[:2], *maps.shape[2:])

    def _maps(self, output: Tensor) -> Tensor:
        return full_precision(self._layer.to_map(output.detach()))
