"""A step on input gradients against the floor that is derived in docs/benchmarks.md."""

import pytest
import torch
from torch import nn

from lookright.bench.flops import count_flops
from lookright.bench.input_gradients import count_operations, input_gradient_figures, make_subjects
from lookright.bench.settings import QUICK, Settings

CPU = torch.device("cpu")
DEPTH = 100
"""so deep that what the first layer is spared hardly counts"""


def twice(network: nn.Module, image: torch.Tensor) -> None:
    (gradient,) = torch.autograd.grad(network(image.clone()).sum(), image, create_graph=True)
    gradient.square().sum().backward()


def test_the_floor_is_six_forward_passes() -> None:
    """1 forward, 1 to the image, 2 back through that one, 2 back through the forward pass."""
    layers = [(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Softplus()) for _ in range(DEPTH)]
    network = nn.Sequential(*(part for layer in layers for part in layer))
    image = torch.rand(1, 4, 8, 8, requires_grad=True)
    forward = count_flops(lambda: network(image))
    assert count_flops(lambda: twice(network, image)) / forward == pytest.approx(6, rel=0.02)


def test_our_step_is_near_the_floor() -> None:
    methods = ("rrr", "gals-suppress", "gals-match", "harmonization")
    settings = Settings(image_size=64, input_gradient_methods=methods)
    gflop = count_operations(make_subjects(settings, "resnet18", CPU, 2))
    assert 2 < gflop["rrr"][0] / gflop["plain"][0] < 2.15
    for method in methods:
        assert gflop[method][0] == pytest.approx(gflop["rrr"][0], rel=0.01)
    assert all(
        parameter.grad is None
        for subject in make_subjects(QUICK, "small_cnn", CPU, 2).values()
        for parameter in subject.network.parameters()
    )


def test_figures_are_of_time_and_operations() -> None:
    figures = list(input_gradient_figures(QUICK, CPU))
    assert [figure.unit for figure in figures] == ["s", "GFLOP"]
    assert all(figure.over == ("rrr", "plain") and figure.target is None for figure in figures)
