"""Interval bounds of the logits and of the input gradient over a box of images."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from propagated_networks import NETWORKS, network_and_image, slope_of, smooth, state
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError, NonFiniteError
from lookright.explainers.propagation import input_gradient_bounds, loss_gradient_bounds, output_bounds
from lookright.explainers.propagation.carrier import Carrier
from lookright.explainers.propagation.pair import Pair

LABEL = torch.tensor([2, 0])
BOUNDED = {**NETWORKS, "smooth": smooth}


def logit(logits: Tensor) -> Tensor:
    return logits.gather(1, LABEL[:, None]).sum()


def loss(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, LABEL, reduction="sum")


GRADIENTS = {"logit": (input_gradient_bounds, logit), "loss": (loss_gradient_bounds, loss)}


def gradient_at(network: nn.Module, image: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    image = image.clone().requires_grad_()
    return torch.autograd.grad(score(network(image)), image)[0]


def samples(image: Tensor, region: Tensor, epsilon: float) -> list[Tensor]:
    """Images of the box: its centre, some of its inside, some of its corners."""
    inside = [torch.rand_like(image) * 2 - 1 for _ in range(10)]
    return [image, *(image + epsilon * region * step for v in inside for step in (v, v.sign()))]


def assert_within(value: Tensor, bounds: tuple[Tensor, Tensor]) -> None:
    slack = 1e-9 * (1 + value.abs())
    assert (bounds[0] - slack <= value).all()
    assert (value <= bounds[1] + slack).all()


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("epsilon", [0.02, 0.5])
def test_what_is_in_the_box_is_within_the_bounds(name: str, epsilon: float) -> None:
    network, image, region = network_and_image(BOUNDED[name])
    outputs = output_bounds(network, image, region, epsilon)
    assert (outputs[0] < outputs[1]).all()
    bounds = {key: bound(network, image, region, epsilon, LABEL) for key, (bound, _) in GRADIENTS.items()}
    for sample in samples(image, region, epsilon):
        assert_within(network(sample), outputs)
        for key, (_, score) in GRADIENTS.items():
            assert_within(gradient_at(network, sample, score), bounds[key])


# Not the flat image in the ResNet: in it ties are broken by the rounding of a layer, ours and the network's.
@pytest.mark.parametrize(
    ("name", "flat"), [(n, flat) for n in BOUNDED for flat in (False, True) if not (flat and n == "resnet")]
)
def test_a_box_of_one_image_gives_its_logits_and_gradient(name: str, flat: bool) -> None:
    network, image, region = network_and_image(BOUNDED[name])
    if flat:  # every window of a pooling ties, as in the black of the digits
        image = torch.ones_like(image) * 0.5
    for area, epsilon in ((region, 0.0), (torch.zeros_like(region), 3.0)):
        for bound in output_bounds(network, image, area, epsilon):
            torch.testing.assert_close(bound, network(image))
        for bounds, score in GRADIENTS.values():
            for bound in bounds(network, image, area, epsilon, LABEL):
                torch.testing.assert_close(bound, gradient_at(network, image, score))


def test_against_interval_arithmetic_in_numpy() -> None:
    network, image, region = network_and_image(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 5), nn.ReLU(), nn.Linear(5, 3))
    )
    epsilon = 0.3
    w1, b1, w2, b2 = (p.detach().numpy() for p in network.parameters())

    def product(matrix: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.stack([matrix * low[None], matrix * high[None]])
        return ends.min(0).sum(1), ends.max(0).sum(1)

    outputs = output_bounds(network, image, region, epsilon)
    gradients = input_gradient_bounds(network, image, region, epsilon, LABEL)
    for row in range(2):
        x = image[row].numpy().ravel()
        radius = epsilon * region[row].expand(3, -1, -1).numpy().ravel()
        low, high = (bound + b1 for bound in product(w1, x - radius, x + radius))
        for got, wanted in zip(outputs, product(w2, np.maximum(low, 0), np.maximum(high, 0)), strict=True):
            np.testing.assert_allclose(got[row].detach().numpy(), wanted + b2, rtol=1e-9)
        slopes = (low > 0).astype(float), (high > 0).astype(float)
        ends = np.stack([w2[LABEL[row]] * slope for slope in slopes])
        wanted = product(w1.T, ends.min(0), ends.max(0))
        for got, want in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(got[row].detach().numpy().ravel(), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.ReLU6(),
        nn.LeakyReLU(0.2),
        nn.Hardtanh(-0.7, 1.1),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Softplus(3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_the_slopes_of_an_activation_are_its_extremes(activation: nn.Module) -> None:
    network = nn.Sequential(activation, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    centres = torch.linspace(-9, 9, 61, dtype=torch.float64)
    for epsilon in (0.0, 0.25, 2.0, 7.0):
        image = centres.view(-1, 1, 1, 1)
        region = torch.ones_like(image, dtype=torch.bool)
        grid = centres[:, None] + epsilon * torch.linspace(-1, 1, 4001, dtype=torch.float64)
        grid.requires_grad_()
        (slope,) = torch.autograd.grad(activation(grid).sum(), grid)
        bounds = input_gradient_bounds(network, image, region, epsilon, torch.zeros(61, dtype=torch.int64))
        torch.testing.assert_close(bounds[0].flatten(), slope.amin(1), rtol=0, atol=1e-5)
        torch.testing.assert_close(bounds[1].flatten(), slope.amax(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 1, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d((1, 2), 2, 0, 2),
    ],
    ids=repr,
)
def test_a_pooled_cell_takes_the_gradient_if_it_can_be_the_maximum(pool: nn.Module) -> None:
    torch.manual_seed(1)
    image = torch.randint(0, 6, (1, 1, 5, 6)).double()  # ties among them
    network = nn.Sequential(pool, nn.Flatten())
    classes = network(image).shape[1]
    everywhere, label = torch.ones(1, 1, 5, 6, dtype=torch.bool), torch.tensor([classes - 2])
    lower, upper = input_gradient_bounds(network, image, everywhere, 0.8, label)
    near = (image + 0.8 * (2 * torch.rand(600, 1, 5, 6, dtype=torch.float64) - 1)).requires_grad_()
    (seen,) = torch.autograd.grad(network(near)[:, label].sum(), near)
    torch.testing.assert_close(upper, seen.amax(0, keepdim=True))
    torch.testing.assert_close(lower, seen.amin(0, keepdim=True))


@pytest.mark.parametrize("name", ["small_cnn", "functional", "smooth"])
def test_their_gradient_by_a_weight_is_that_of_finite_differences(name: str) -> None:
    network, image, region = network_and_image(BOUNDED[name])
    bounds: list[Callable[[], tuple[Tensor, Tensor]]] = [
        lambda: output_bounds(network, image, region, 0.1),
        lambda: input_gradient_bounds(network, image, region, 0.1, LABEL),
        lambda: loss_gradient_bounds(network, image, region, 0.1, LABEL),
    ]
    for bound in bounds:
        for weight in (next(network.parameters()), list(network.parameters())[-2]):
            gradient, difference = slope_of(lambda: sum(b.square().sum() for b in bound()), weight)  # noqa: B023
            torch.testing.assert_close(gradient, difference, rtol=1e-5, atol=1e-7)


def test_the_network_stays_as_it_was() -> None:
    network, image, region = network_and_image(NETWORKS["chain"])
    wanted = input_gradient_bounds(network, image, region, 0.1, LABEL)
    assert all(bound.requires_grad for bound in wanted)
    network.train()[4].eval()
    before, copy = state(network), image.clone()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = input_gradient_bounds(network, image, region, 0.1, LABEL)
        assert not any(bound.requires_grad for bound in output_bounds(network, image, region, 0.1))
    assert not any(bound.requires_grad for bound in found)
    assert state(network) == before
    assert torch.equal(image, copy)
    assert not image.requires_grad
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.SiLU(), r"module '1' \(SiLU\): silu;"),
        (nn.GroupNorm(2, 4), "group_norm"),
        (nn.LeakyReLU(-1), "slope -1"),
    ],
)
def test_what_they_do_not_cover_is_refused(layer: nn.Module, said: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Flatten(), nn.Linear(4 * 196, 3)).train()
    image, region = torch.ones(2, 3, 16, 16), torch.ones(2, 1, 16, 16, dtype=torch.bool)
    before = state(network)
    with pytest.raises(ConfigError, match=said):
        output_bounds(network, image, region, 0.1)
    with pytest.raises(ConfigError, match=said):
        loss_gradient_bounds(network, image, region, 0.1, LABEL)
    assert state(network) == before


def test_bounds_that_overflow_are_an_error() -> None:
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)), nn.Flatten(), nn.Linear(192, 3)).eval()
    image, region = torch.ones(2, 3, 8, 8), torch.ones(2, 1, 8, 8, dtype=torch.bool)
    with pytest.raises(NonFiniteError, match="smaller epsilon"):
        output_bounds(network, image, region, 3e38)


@pytest.mark.parametrize("in_graph", [True, False])
def test_what_was_recorded_is_let_go_at_once(in_graph: bool) -> None:
    network, image, region = network_and_image(NETWORKS["functional"])
    gc.collect()
    gc.disable()
    try:
        with torch.set_grad_enabled(in_graph):
            input_gradient_bounds(network, image, region, 0.1, LABEL)
        assert not [item for item in gc.get_objects() if type(item) in (Pair, Carrier)]
    finally:
        gc.enable()


def test_mistakes_are_named() -> None:
    network, image, region = network_and_image(NETWORKS["small_cnn"])
    with pytest.raises(ConfigError, match="epsilon: got -1"):
        output_bounds(network, image, region, -1)
    with pytest.raises(ConfigError, match="region: got"):
        output_bounds(network, image, region.float(), 0.1)
    with pytest.raises(ConfigError, match="label: got"):
        input_gradient_bounds(network, image, region, 0.1, LABEL[:1])
