"""A smooth network in float64, what is requested of it, and gradients held against finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lookright.types import Normalization, Request

RAW = Request(normalization=Normalization.NONE)
CHANNELS = Request(normalization=Normalization.NONE, channels=True)
PARAMETERS = ("below.weight", "target.weight", "above.weight", "head.weight")


class Tiny(nn.Module):
    """Conv, then a nonlinear head: second order matters; smooth, so that gradcheck applies."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Conv2d(3, 4, 3)
        self.target = nn.Conv2d(4, 5, 3)
        self.above = nn.Linear(5, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.activation(x))

    def activation(self, x: Tensor) -> Tensor:
        """What the target layer gives."""
        return self.target(torch.tanh(self.below(x)))

    def behind(self, activation: Tensor) -> Tensor:
        """Logits from what the target layer gives; every cell has a gradient of its own."""
        return self.head(torch.tanh(self.above(torch.tanh(activation).mean(dim=(2, 3)))))


def hooks(network: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()
    )


def assert_second_order(
    network: nn.Module, explanation: Callable[[], Tensor], names: tuple[str, ...]
) -> None:
    """Check the gradient of a random projection of float64 maps to weights, by central differences."""
    torch.manual_seed(1)
    projection = torch.randn_like(explanation())
    assert projection.dtype is torch.float64
    parameters = dict(network.named_parameters())
    for name in names:
        parameter = parameters[name]
        (gradient,) = torch.autograd.grad((explanation() * projection).sum(), parameter)
        direction = torch.randn_like(parameter)
        ends = []
        with torch.no_grad():
            for step in (1e-5, -2e-5, 1e-5):
                parameter.add_(step * direction)
                ends.append((explanation() * projection).sum().item())
        slope = (gradient * direction).sum().item()
        assert slope != 0, name
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-9), name
