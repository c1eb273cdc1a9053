"""Interval bound propagation: what the logits can become when the pixels of a region change."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from lookright.errors import ConfigError, NonFiniteError
from lookright.explainers.propagation.carrier import check_region, propagate
from lookright.explainers.propagation.pair import Activation, Function, Pair, Rules, Window


def output_bounds(network: nn.Module, image: Tensor, region: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    r"""Bound the logits over a box by interval bound propagation (Gowal et al., ICCV 2019).

    The box holds every image that differs by at most epsilon in the pixels of the region and not at all
    elsewhere. The bounds hold for all of it, up to rounding. IBP-Ex (Heo et al., NeurIPS 2023) trains on
    the cross-entropy of the worst logits: the lower bound of the label's, the upper bounds of the others.

        linear      W c + b -+ |W| r, c and r the centre and radius of the interval
        activation  f(lower), f(upper): all supported ones are nondecreasing
        max pooling of either bound

    Differentiable with respect to the weights. The network may be in either mode: it is run in evaluation
    mode and left as it was.

    Args:
        network: image (B, C, H, W) -> logits (B, K); of convolution, linear layers, BatchNorm, ReLU, ReLU6,
            LeakyReLU, tanh, sigmoid, softplus, max and average pooling, sums and concatenation
        image: (B, C, H, W)
        region: (B, 1, H, W) bool
        epsilon: at least 0, in the units of `image` (after normalisation)

    Returns:
        lower and upper bounds, (B, K) each

    Raises:
        ConfigError: the network has another layer; a region of another shape or type; a negative epsilon.
        NonFiniteError: the bounds overflow, as they do in networks of many layers.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
        >>> _ = nn.init.ones_(network[1].weight)
        >>> everywhere = torch.ones(1, 1, 1, 2, dtype=torch.bool)
        >>> output_bounds(network, torch.zeros(1, 1, 1, 2), everywhere, 0.5)
        (tensor([[-1.]], grad_fn=<SubBackward0>), tensor([[1.]], grad_fn=<AddBackward0>))
    """
    logits = propagate(network, box(image, region, epsilon), Intervals())
    check_finite(logits)
    return logits.first, logits.second


def box(image: Tensor, region: Tensor, epsilon: float) -> Pair:
    """Lower and upper bounds of the images of a box, (B, C, H, W) each.

    Raises:
        ConfigError: a region that does not fit the images; a negative or infinite epsilon.
    """
    check_region(image, region)
    if not 0 <= epsilon < math.inf:
        raise ConfigError(f"epsilon: got {epsilon}, need a finite number of at least 0")
    radius = epsilon * region.to(image.dtype)
    return Pair(image - radius, image + radius)


def check_finite(bounds: Pair) -> None:
    """Check that bounds say something: they widen by a factor with each layer.

    Raises:
        NonFiniteError: they overflowed.
    """
    if not (bounds.first.isfinite() & bounds.second.isfinite()).all():
        raise NonFiniteError(
            "epsilon: the interval bounds overflow, since they widen from layer to layer; "
            "take a smaller epsilon or a network of fewer layers"
        )


class Intervals(Rules):
    """A pair is the lower and the upper bound of an activation."""

    name = "interval bound propagation"
    supported = (
        "convolution, linear layers, BatchNorm, ReLU, ReLU6, LeakyReLU, tanh, sigmoid, softplus, max and "
        "average pooling, sums and concatenation"
    )

    def linear(
        self,
        inputs: tuple[Pair, ...],
        apply: Function,
        absolute: Function | None = None,
        constant: Tensor | float | None = None,
    ) -> Pair:
        """Bound a linear layer."""
        if absolute is None:
            bounds = self.each(inputs, apply)
            return bounds if constant is None else Pair(bounds.first + constant, bounds.second + constant)
        centre = apply(*((x.first + x.second) / 2 for x in inputs))
        radius = absolute(*((x.second - x.first) / 2 for x in inputs))
        centre = centre if constant is None else centre + constant
        return Pair(centre - radius, centre + radius)

    def activation(self, x: Pair, activation: Activation) -> Pair:
        """Bound a nondecreasing function."""
        return self.each((x,), activation.function)

    def max_pool(self, x: Pair, window: Window) -> Pair:
        """Bound a max pooling."""
        return self.each((x,), window.pool)

    @staticmethod
    def each(inputs: tuple[Pair, ...], function: Callable[..., Tensor]) -> Pair:
        """Apply a function that does not decrease in any argument to both bounds."""
        return Pair(function(*(x.first for x in inputs)), function(*(x.second for x in inputs)))
