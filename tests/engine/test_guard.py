"""The guard speaks when the explanation loss does not reach the weights that it should, and only then."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from lookright.config import TrainConfig
from lookright.engine.guard import Reach, check_reach
from lookright.engine.processes import make_fabric
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.engine.trainer import Trainer
from lookright.errors import ConfigError, LookrightWarning


@pytest.mark.parametrize("scope", ["all", "last-stage", "head"])
@pytest.mark.parametrize("method", ["baseline", "gradia", "haics", "res-g", "res-l", "evidence"])
def test_silent_when_all_is_well(method: str, scope: str, options: Callable[..., TrainConfig]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(options(method=method, train=scope, epochs=1))


@pytest.mark.parametrize("imputer", ["s1", "s2", "d1", "d2"])
def test_silent_with_every_imputer(imputer: str, options: Callable[..., TrainConfig]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(options(method="res-l", imputer=imputer, epochs=1))


def test_without_second_order_it_names_what_is_missed(options: Callable[..., TrainConfig]) -> None:
    with pytest.warns(LookrightWarning) as told:
        train(options(second_order=False, epochs=2))
    assert len(told) == 1, "said once"
    message = str(told[0].message)
    assert "does not reach 1 of 4 trained weights (network.head.weight)" in message
    assert "second_order is false; set it to true" in message


def test_without_second_order_a_head_cannot_be_supervised(options: Callable[..., TrainConfig]) -> None:
    with pytest.raises(
        ConfigError, match=r"head\.weight\); it has no effect on this run: second_order is false"
    ):
        train(options(second_order=False, train="head"))


def test_speaks_in_mixed_precision(options: Callable[..., TrainConfig]) -> None:
    """Fabric keeps the outputs of the module that it wraps for its own backward pass."""
    with pytest.warns(LookrightWarning, match=r"head\.weight"):
        train(options(second_order=False, epochs=1, precision="bf16"))


def test_can_be_switched_off(options: Callable[..., TrainConfig]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(options(second_order=False, epochs=1, guard=False))


def test_waits_for_a_step_with_annotated_images(options: Callable[..., TrainConfig]) -> None:
    """Four images a step, one annotated image of each class: some steps have nothing to say."""
    with pytest.warns(LookrightWarning, match="head.weight"):
        train(options(second_order=False, epochs=1, batch_size=2, annotated_per_class=1))


def test_a_dead_imputer_is_said(options: Callable[..., TrainConfig]) -> None:
    """D1 as published starts with one channel and ReLU: a negative kernel gives a constant, for ever."""
    config = options(method="res-l", imputer="d1", published_init=True, epochs=1)
    setup = set_up(config)
    first = setup.objective.losses[0].imputer.layers[0]
    with torch.no_grad():
        first.weight.copy_(-first.weight.abs())
        first.bias.copy_(-first.bias.abs())
    fabric = make_fabric(config)
    with pytest.warns(LookrightWarning, match=r"objective\.losses\.0\.imputer\.layers\.0\.weight") as told:
        Trainer(fabric, config, setup, "").run()
    assert "the imputer cannot learn; leave published_init out or take another seed" in str(told[0].message)


def test_an_imputer_that_nothing_teaches_is_said(options: Callable[..., TrainConfig]) -> None:
    with pytest.warns(LookrightWarning, match="with stop_gradient give it a regularizer"):
        train(options(method="res-l", stop_gradient=True, regularizer=0.0, epochs=1))


class TestCheckReach:
    """By hand, on two layers."""

    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))

    def test_all(self) -> None:
        reach = check_reach(self.network(torch.ones(1, 2)).sum(), self.network)
        assert reach == Reach(("0.weight", "2.weight"), ())
        assert reach.warning(second_order=True) is None

    def test_part(self) -> None:
        reach = check_reach(self.network[:2](torch.ones(1, 2)).sum(), self.network)
        assert reach == Reach(("0.weight",), ("2.weight",))
        assert "check target_layer, and that nothing on the way is detached" in reach.warning(
            second_order=True
        )

    def test_none(self) -> None:
        reach = check_reach(torch.ones(()), self.network)
        assert reach == Reach((), ("0.weight", "2.weight"))
        assert "it has no effect on this run" in reach.warning(second_order=True)

    def test_zero_says_nothing(self) -> None:
        assert check_reach(torch.zeros(()), self.network) is None
        assert check_reach(self.network(torch.ones(1, 2)).sum() * 0, self.network) is None

    def test_frozen_weights_are_not_expected(self) -> None:
        network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        network[0].requires_grad_(False)
        assert check_reach(network(torch.ones(1, 2)).sum(), network) == Reach(("1.weight",), ())

    def test_keeps_the_graph_and_the_gradients(self) -> None:
        self.network.zero_grad()
        loss = self.network(torch.ones(1, 2)).sum()
        check_reach(loss, self.network)
        assert all(p.grad is None for p in self.network.parameters())
        loss.backward()

    def test_many_are_counted(self) -> None:
        message = Reach((), tuple(f"layer{i}.weight" for i in range(9))).warning(second_order=True)
        assert "layer3.weight and 5 more" in message
