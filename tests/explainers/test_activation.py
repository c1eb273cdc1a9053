"""The activation of a layer: what TAP penalises."""

import pytest
import torch
from tiny_network import CHANNELS, RAW, Tiny, hooks
from torch import Tensor

from lookright.explainers import Activation
from lookright.types import Request, Score, Target


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().double()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def test_is_the_sum_over_channels(tiny: Tiny, image: Tensor) -> None:
    logits, maps = Activation(tiny, "target", image_size=8)(image, torch.tensor([0, 2]), RAW, CHANNELS)
    activation = tiny.activation(image)
    torch.testing.assert_close(maps[CHANNELS], activation)
    torch.testing.assert_close(maps[RAW], activation.sum(dim=1, keepdim=True))
    torch.testing.assert_close(logits, tiny(image))
    gradients = torch.autograd.grad(maps[RAW].square().sum(), list(tiny.parameters()), allow_unused=True)
    expected = torch.autograd.grad(
        activation.sum(dim=1).square().sum(), list(tiny.parameters()), allow_unused=True
    )
    for (name, _), a, b in zip(tiny.named_parameters(), gradients, expected, strict=True):
        assert (a is None) == (b is None) == name.startswith(("above", "head")), name
        if a is not None:
            torch.testing.assert_close(a, b)


def test_finds_the_layer_by_itself_and_knows_no_class(tiny: Tiny, image: Tensor) -> None:
    requests = [RAW, Request(Target.PREDICTED, Score.RUNNER_UP, RAW.normalization)]
    maps = Activation(tiny, image_size=8)(image, torch.tensor([0, 2]), *requests).explanations
    assert torch.equal(maps[requests[0]], maps[requests[1]])
    assert maps[RAW].shape == (2, 1, 4, 4)


def test_no_grad_gives_no_graph(tiny: Tiny, image: Tensor) -> None:
    with torch.no_grad():
        explanation = Activation(tiny, tiny.target)(image, torch.tensor([0, 2]), RAW).explanation
        assert not torch.is_grad_enabled()
    assert not explanation.requires_grad
    torch.testing.assert_close(explanation, tiny.activation(image).sum(dim=1, keepdim=True).detach())
    assert hooks(tiny) == 0
