"""Contextual decomposition: what a region of the image contributes to the logits, and what the rest does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookright.explainers.propagation.carrier import check_region, propagate
from lookright.explainers.propagation.pair import Activation, Function, Pair, Refused, Rules, Window


def contextual_decomposition(network: nn.Module, image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    r"""Contextual decomposition (Murdoch et al., ICLR 2018; for CNNs: Singh et al., "ACD", ICLR 2019).

    Splits the logits into the contribution of the pixels of a region and that of the rest, which sum to the
    logits in evaluation mode. The explanation of CDEP (Rieger et al., ICML 2020). With the image split as
    beta = x in the region, gamma = x outside, each layer splits its output:

        linear      beta' = W beta + b |W beta| / (|W beta| + |W gamma|)
                    gamma' = W gamma + the rest of b; all of b where both are 0
        ReLU        beta' = relu(beta)      gamma' = relu(beta + gamma) - relu(beta)
        max pooling both parts at the maximum of beta + gamma

    Convolution, fully connected, BatchNorm (running statistics), average pooling and residual sums are linear
    layers. ReLU stands for ReLU6 and LeakyReLU too, as in the published code. A bias where both parts are 0
    is lost there and belongs to the rest here, so that the sum holds.

    Differentiable, once with respect to the weights for a training loss. The network may be in either mode:
    it is run in evaluation mode and left as it was.

    Args:
        network: image (B, C, H, W) -> logits (B, K)
        image: (B, C, H, W)
        region: (B, 1, H, W) bool

    Returns:
        contribution of the region and of the rest, (B, K) each

    Raises:
        ConfigError: the network has a layer that it is not defined for (a gate, attention, LayerNorm, another
            activation); a region of another shape or type.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> image = torch.ones(1, 1, 2, 2)
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> relevant, irrelevant = contextual_decomposition(network, image, left)
        >>> torch.allclose(relevant + irrelevant, network(image))
        True
    """
    check_region(image, region)
    inside = torch.where(region, image, torch.zeros_like(image))
    logits = propagate(network, Pair(inside, image), _Decomposition())
    return logits.first, logits.second - logits.first


class _Decomposition(Rules):
    """A pair is the relevant part beta and the whole activation beta + gamma.

    The whole rather than gamma: it is then the network's own, and equal values stay equal for max pooling.
    """

    name = "contextual decomposition"
    supported = (
        "convolution, linear layers, BatchNorm, ReLU, ReLU6, LeakyReLU, max and average pooling, sums and "
        "concatenation"
    )

    def linear(
        self,
        inputs: tuple[Pair, ...],
        apply: Function,
        absolute: Function | None = None,
        constant: Tensor | float | None = None,
    ) -> Pair:
        relevant = apply(*(x.first for x in inputs))
        whole = apply(*(x.second for x in inputs))
        if constant is None:
            return Pair(relevant, whole)
        # No small number in the denominator: where a part is 0 the other takes the bias whole, and what would
        # leak grows from layer to layer.
        size = relevant.abs()
        total = size + (whole - relevant).abs()
        share = size / torch.where(total > 0, total, 1)
        return Pair(relevant + constant * share, whole + constant)

    def activation(self, x: Pair, activation: Activation) -> Pair:
        if not activation.rectifier:
            raise Refused("")
        return Pair(activation.function(x.first), activation.function(x.second))

    def max_pool(self, x: Pair, window: Window) -> Pair:
        index = window.index(x.second)

        def pick(part: Tensor) -> Tensor:
            return part.flatten(2).gather(2, index.flatten(2)).view_as(index)

        return Pair(pick(x.first), pick(x.second))
