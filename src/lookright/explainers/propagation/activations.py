"""The activations that a pair can pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.explainers.propagation.pair import Activation, Refused


def _relu() -> Activation:
    return Activation("relu", F.relu, partial(_step_slopes, below=0.0), rectifier=True)


def _leaky_relu(negative_slope: float = 0.01) -> Activation:
    if not 0 <= negative_slope <= 1:
        raise Refused(f"with the slope {negative_slope}")
    return Activation(
        "leaky_relu",
        partial(F.leaky_relu, negative_slope=negative_slope),
        partial(_step_slopes, below=negative_slope),
        rectifier=True,
    )


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Activation:
    def slopes(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        inside = (lower > min_val) & (upper < max_val)
        touched = (upper > min_val) & (lower < max_val)
        return inside.to(lower.dtype), touched.to(lower.dtype)

    function = partial(F.hardtanh, min_val=min_val, max_val=max_val)
    return Activation("hardtanh", function, slopes, rectifier=min_val == 0 < max_val)


def _relu6() -> Activation:
    return _hardtanh(0.0, 6.0)


def _tanh() -> Activation:
    return Activation(
        "tanh", torch.tanh, partial(_bell_slopes, slope=lambda x: 1 - x.tanh().square()), rectifier=False
    )


def _sigmoid() -> Activation:
    return Activation(
        "sigmoid",
        torch.sigmoid,
        partial(_bell_slopes, slope=lambda x: x.sigmoid() * (-x).sigmoid()),
        rectifier=False,
    )


def _softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation:
    def slope(x: Tensor) -> Tensor:
        return torch.where(beta * x > threshold, 1.0, (beta * x).sigmoid())

    return Activation(
        "softplus",
        partial(F.softplus, beta=beta, threshold=threshold),
        lambda lower, upper: (slope(lower), slope(upper)),
        rectifier=False,
    )


def _step_slopes(lower: Tensor, upper: Tensor, *, below: float) -> tuple[Tensor, Tensor]:
    # At the kink itself autograd takes the slope from below.
    return torch.where(lower > 0, 1.0, below).to(lower), torch.where(upper > 0, 1.0, below).to(upper)


def _bell_slopes(lower: Tensor, upper: Tensor, *, slope: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Bounds of a slope that falls with the distance from 0."""
    nearest = torch.zeros_like(lower).clamp(min=lower, max=upper)
    farthest = torch.where(lower.abs() > upper.abs(), lower, upper)
    return slope(farthest), slope(nearest)


ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "hardtanh": _hardtanh,
    "relu6": _relu6,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}
"""name of the operation -> what builds its activation from the operation's other arguments"""
