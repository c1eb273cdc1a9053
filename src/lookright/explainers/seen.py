"""What an explainer has to see of a forward pass, and what it saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from lookright.models.layers import TargetLayer
from lookright.precision import full_precision


@dataclass(frozen=True)
class Needs:
    """What an explainer has to see of a forward pass: the sites where it looks."""

    layers: tuple[TargetLayer, ...] = ()
    """layers whose output it looks at"""
    image: bool = False
    """whether the graph must reach the image"""
    attention: bool = False
    """whether it looks at the attention matrices of all blocks"""
    gradient: bool = True
    """whether it needs the gradient of the score at its sites"""
    region: bool = False
    """whether it explains a part of the image"""

    @property
    def whole_network(self) -> bool:
        """Whether all of the network must run, so that features of a frozen part cannot stand in for it."""
        return self.image or self.attention or self.region


@dataclass(frozen=True)
class Seen:
    """One forward pass as an explainer sees it, for one score."""

    network: nn.Module
    """for explainers that need passes of their own"""
    image: Tensor
    """(B, 3, H, W); a leaf of the graph where it is needed"""
    logits: Tensor
    """(B, K)"""
    score: Callable[[Tensor], Tensor]
    """logits (B, K) of the same images -> (B,), for the class that was chosen by the logits above"""
    chosen: Tensor
    """(B,) int64, the class"""
    activation: dict[str, Tensor]
    """layer name -> what the layer gave, in its own layout"""
    attention: tuple[Tensor, ...]
    """(B, heads, N, N) of each block"""
    layer_gradient: dict[str, Tensor]
    """layer name -> gradient of the score, as `activation`"""
    attention_gradient: tuple[Tensor, ...]
    """as `attention`"""
    image_gradient: Tensor | None
    """(B, 3, H, W)"""
    region: Tensor | None
    """(B, 1, H, W) bool, the part of the image that is explained, for explainers of one"""
    second_order: bool
    """whether gradients are part of the graph"""

    def at(self, layer: TargetLayer) -> tuple[Tensor, Tensor]:
        """Activation and gradient of a layer as maps in full precision, each (B, C, h, w)."""
        return self.activation_at(layer), layer.to_map(full_precision(self.layer_gradient[layer.name]))

    def activation_at(self, layer: TargetLayer) -> Tensor:
        """Activation of a layer as maps in full precision, (B, C, h, w)."""
        return layer.to_map(full_precision(self.activation[layer.name]))

    def first_order(self) -> Seen:
        """Give the same with gradients that are constants."""
        if not self.second_order:
            return self
        image = self.image_gradient
        return replace(
            self,
            layer_gradient={name: gradient.detach() for name, gradient in self.layer_gradient.items()},
            attention_gradient=tuple(gradient.detach() for gradient in self.attention_gradient),
            image_gradient=None if image is None else image.detach(),
            second_order=False,
        )
