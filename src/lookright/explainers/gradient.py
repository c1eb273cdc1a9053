"""Attributions by the gradient of a score: to the pixels of the image, or to the features of a layer."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.base import Explainer, resolve_layer
from lookright.explainers.seen import Needs, Seen
from lookright.models.layers import TargetLayer
from lookright.precision import full_precision


class _AtOneSite(Explainer):
    """What looks at the image, or at the output of a layer if one is named."""

    cost = "backward pass to the image, or to the layer"

    layer: TargetLayer | None = None

    def look_at(self, target_layer: nn.Module | str | None) -> None:
        """Look at the image, or at the layer that is named."""
        if target_layer is not None:
            self.layer = resolve_layer(self.network, target_layer, self.image_size)
        self.needs = Needs(image=True) if self.layer is None else Needs(layers=(self.layer,))

    def explain(self, seen: Seen) -> Tensor:
        """Give the attribution, (B, 3, H, W), or (B, C, h, w) at a layer."""
        if self.layer is not None:
            return self.attribute(*seen.at(self.layer))
        if seen.image_gradient is None:
            raise ConfigError("needs: got no gradient at the image; state Needs(image=True)")
        return self.attribute(full_precision(seen.image), full_precision(seen.image_gradient))

    @abstractmethod
    def attribute(self, value: Tensor, gradient: Tensor) -> Tensor:
        """Attribute the score to the values that its gradient was taken at, each (B, C, h, w)."""


class InputGradient(_AtOneSite):
    r"""Input gradient, also saliency or vanilla gradient (Simonyan et al., ICLR workshop 2014).

        G = d score / d x        M_ij = max_c |G_cij|

    `request.channels` gives G itself. With a target layer, x is what that layer gives: G (B, C, h, w). That
    is the variant at frozen features, which needs no pass through what lies below the layer.

    In training, BatchNorm makes each score depend on all images of the batch. As in the published code, the
    gradient is then that of the sum of their scores.

    Example:
        >>> import torch
        >>> from lookright.types import Request
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> image, label = torch.rand(1, 3, 8, 8), torch.tensor([0])
        >>> InputGradient(network)(image, label).explanation.shape
        torch.Size([1, 1, 8, 8])
        >>> InputGradient(network, "0", image_size=8)(image, label, Request(channels=True)).explanation.shape
        torch.Size([1, 4, 6, 6])
    """

    paper = "input gradient: Simonyan et al., ICLR workshop 2014"

    def attribute(self, value: Tensor, gradient: Tensor) -> Tensor:
        """Give the gradient."""
        return gradient

    def reduce(self, explanation: Tensor) -> Tensor:
        """Give the largest absolute value of the channels, (B, 1, h, w)."""
        return explanation.abs().amax(dim=1, keepdim=True)


class InputXGradient(_AtOneSite):
    r"""Input x gradient (Shrikumar et al., arXiv 1605.01713, 2016).

        G = x * d score / d x        M_ij = sum_c G_cij

    x is the image as the network gets it, normalised: its zero is the mean colour. `request.channels` gives
    G itself. With a target layer, x is what that layer gives, and M is that of `HiResCAM`.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> InputXGradient(network)(torch.rand(1, 3, 8, 8), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 8, 8])
    """

    paper = "input x gradient: Shrikumar et al., 2016"

    def attribute(self, value: Tensor, gradient: Tensor) -> Tensor:
        """Give the product."""
        return value * gradient
