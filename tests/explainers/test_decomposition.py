"""Contextual decomposition: what a region contributes, and the rest."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from propagated_networks import NETWORKS, network_and_image, slope_of, state
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.explainers.propagation import contextual_decomposition


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_sum_to_the_logits(name: str) -> None:
    network, image, region = network_and_image(NETWORKS[name], size=32)
    relevant, irrelevant = contextual_decomposition(network, image, region)
    assert relevant.shape == (2, 3)
    torch.testing.assert_close(relevant + irrelevant, network(image), rtol=1e-10, atol=1e-10)
    assert relevant.abs().min() > 1e-6
    alone = [contextual_decomposition(network, image[i : i + 1], region[i : i + 1])[0] for i in range(2)]
    torch.testing.assert_close(relevant, torch.cat(alone))


@pytest.mark.parametrize("name", ["small_cnn", "chain", "resnet"])
def test_a_region_of_everything_or_nothing(name: str) -> None:
    network, image, region = network_and_image(NETWORKS[name], size=32)
    everywhere, nowhere = torch.ones_like(region), torch.zeros_like(region)
    torch.testing.assert_close(contextual_decomposition(network, image, everywhere)[0], network(image))
    assert not contextual_decomposition(network, image, nowhere)[0].any()


def test_a_linear_network_without_biases_is_split_exactly() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(196, 3, bias=False)
    ).double()
    _, image, region = network_and_image(nn.Identity)
    relevant, irrelevant = contextual_decomposition(network, image, region)
    torch.testing.assert_close(relevant, network(image * region))
    torch.testing.assert_close(irrelevant, network(image * ~region))


def test_against_the_rules_of_the_paper_in_numpy() -> None:
    network, image, region = network_and_image(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 256, 6), nn.ReLU(), nn.Unflatten(1, (1, 2, 3)), nn.MaxPool2d((1, 3)),
            nn.Flatten(), nn.Linear(2, 3)
        )
    )  # fmt: skip
    x, mask = image.numpy(), region.numpy()
    beta, gamma = (x * mask).reshape(2, -1), (x * ~mask).reshape(2, -1)
    weights = [p.detach().numpy() for p in network.parameters()]

    def linear(beta: np.ndarray, gamma: np.ndarray, w: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
        beta, gamma = beta @ w.T, gamma @ w.T
        share = np.abs(beta) / (np.abs(beta) + np.abs(gamma))
        return [beta + share * b, gamma + (1 - share) * b]

    beta, gamma = linear(beta, gamma, *weights[:2])
    beta, gamma = np.maximum(beta, 0), np.maximum(beta + gamma, 0) - np.maximum(beta, 0)
    index = (beta + gamma).reshape(2, 2, 3).argmax(2)[..., None]
    beta, gamma = (np.take_along_axis(v.reshape(2, 2, 3), index, 2)[..., 0] for v in (beta, gamma))
    beta, gamma = linear(beta, gamma, *weights[2:])
    relevant, irrelevant = contextual_decomposition(network, image, region)
    np.testing.assert_allclose(relevant.detach().numpy(), beta, rtol=1e-9)
    np.testing.assert_allclose(irrelevant.detach().numpy(), gamma, rtol=1e-9)


def test_a_bias_where_nothing_is_belongs_to_the_rest() -> None:
    network, image, region = network_and_image(NETWORKS["chain"])
    black = torch.zeros_like(image).requires_grad_()
    relevant, irrelevant = contextual_decomposition(network, black, region)
    assert not relevant.any()
    torch.testing.assert_close(irrelevant, network(black))
    (relevant.sum() + irrelevant.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", ["small_cnn", "functional"])
def test_its_gradient_by_a_weight_is_that_of_finite_differences(name: str) -> None:
    network, image, region = network_and_image(NETWORKS[name])
    for weight in (next(network.parameters()), list(network.parameters())[-2]):
        gradient, difference = slope_of(
            lambda: contextual_decomposition(network, image, region)[0].square().sum(), weight
        )
        torch.testing.assert_close(gradient, difference, rtol=1e-5, atol=1e-7)


def test_the_network_stays_as_it_was() -> None:
    network, image, region = network_and_image(NETWORKS["chain"])
    wanted = contextual_decomposition(network, image, region)[0]
    network.train()[4].eval()
    before, copy = state(network), image.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        relevant, _ = contextual_decomposition(network, image, region)
    assert state(network) == before
    assert torch.equal(image, copy)
    torch.testing.assert_close(relevant, wanted)


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.SiLU(), r"module '1' \(SiLU\): silu;"),
        (nn.GELU(), r"\(GELU\): gelu"),
        (nn.Tanh(), r"\(Tanh\): tanh"),
        (nn.Hardswish(), r"\(Hardswish\)"),
        (nn.GroupNorm(2, 4), r"\(GroupNorm\): group_norm"),
        (nn.LayerNorm(14), r"\(LayerNorm\): layer_norm"),
        (nn.BatchNorm2d(4, track_running_stats=False), "batch_norm with the statistics of the batch"),
        (Gate(), r"\(Gate\): sigmoid"),
        (Call(lambda x: x * x), "mul of two activations"),
        (Attention(), r"\(Attention\): scaled_dot_product_attention"),
        (Call(F.dropout), "dropout that stays on"),
        (Call(lambda x: x.flatten(1).relu_()), "relu in place, on a view"),
        (Call(lambda x: torch.zeros(2, 4, 14, 14).add_(x)), "add in place"),
        (Call(lambda x: torch.cat([x, torch.zeros(2, 4, 14, 14)])), "cat with a constant"),
        (Call(lambda x: x.data), "data"),
        (Call(lambda x: (x, x)), "needs logits .* got tuple"),
        (Call(lambda x: x), r"needs logits .* got \(2, 4, 14, 14\)"),
    ],
)
def test_what_it_is_not_defined_for_is_refused(layer: nn.Module, said: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer).train()
    before = state(network)
    region = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    with pytest.raises(ConfigError, match=said):
        contextual_decomposition(network, torch.ones(2, 3, 16, 16), region)
    assert state(network) == before


@pytest.mark.parametrize(
    "region", [torch.ones(2, 1, 16, 16), torch.ones(1, 1, 16, 16) > 0, torch.ones(2, 3, 16, 16) > 0]
)
def test_a_region_that_does_not_fit(region: Tensor) -> None:
    network, image, _ = network_and_image(NETWORKS["small_cnn"])
    with pytest.raises(ConfigError, match="region: got torch"):
        contextual_decomposition(network, image, region)
