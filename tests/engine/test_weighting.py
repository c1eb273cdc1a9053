"""Weights by gradient ratio: what is measured, when it holds, and that it knows no scale."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.engine.checkpoint import load_checkpoint
from lookright.engine.supervised import SupervisedModel
from lookright.engine.train import train
from lookright.engine.trainer import Trainer
from lookright.engine.weighting import GradientRatio
from lookright.explainers import GradCAM
from lookright.losses import ExplanationLoss, Objective, Term
from lookright.types import Batch


class Scaled(ExplanationLoss):
    """A loss of any size."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        return self.factor * (explanation - annotation.clamp(min=0)).square().mean(dim=(1, 2, 3))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, 2))


def batch(seed: int = 0, annotated: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(4, 3, 8, 8, generator=generator)
    annotation = (torch.rand(4, 1, 8, 8, generator=generator) > 0.5).float()
    return Batch(image, torch.tensor([0, 1, 0, 1]), annotation, torch.full((4,), annotated), ("",) * 4)


def model_of(factor: float, steps: int) -> SupervisedModel:
    net = network()
    model = SupervisedModel(
        net, GradCAM(net, net[1], image_size=8), Objective([Term(Scaled(factor), 1.0, balanced=True)])
    )
    model.ratio = GradientRatio(model.objective, steps)
    return model


def norm(loss: Tensor, net: nn.Module) -> float:
    weights = [p for p in net.parameters() if p.ndim >= 2]
    found = torch.autograd.grad(loss, weights, retain_graph=True)
    return float(torch.stack([g.square().sum() for g in found]).sum().sqrt())


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_both_gradients_are_equally_long_then(factor: float) -> None:
    model = model_of(factor, steps=1)
    step = model(batch())
    assert not model.ratio.is_open
    explanation = norm(step.explanation_loss, model.network)
    assert explanation == pytest.approx(norm(step.prediction_loss, model.network), rel=1e-4)


def test_the_first_steps_train_the_prediction_alone() -> None:
    model = model_of(1.0, steps=4)
    losses = [float(model(batch(seed)).explanation_loss.detach()) for seed in range(6)]
    assert losses[:3] == [0, 0, 0]
    assert all(loss > 0 for loss in losses[3:])


def test_the_median_of_the_later_half_stays() -> None:
    model = model_of(1.0, steps=6)
    ratios = []
    for seed in range(6):
        model(batch(seed))
        fresh = model_of(1.0, steps=1)
        fresh(batch(seed))
        ratios.append(float(fresh.objective.scale))
    assert float(model.objective.scale) == pytest.approx(sorted(ratios[3:])[1], rel=1e-5)
    model(batch(9))
    assert float(model.objective.scale) == pytest.approx(sorted(ratios[3:])[1], rel=1e-5)


def test_waits_for_an_annotated_image() -> None:
    model = model_of(1.0, steps=2)
    for seed in range(5):
        model(batch(seed, annotated=False))
    assert model.ratio.is_open
    model(batch())
    assert not model.ratio.is_open


def test_the_device_is_not_asked_again_once_the_scale_is_set() -> None:
    model = model_of(1.0, steps=1)
    model(batch())
    assert not model.ratio.is_open
    measured = model.objective.steps_measured
    model.objective.steps_measured = measured.to("meta")  # which has no value to give
    model(batch())
    assert not model.ratio.is_open
    model.objective.steps_measured = measured
    other = model_of(1.0, steps=1)
    assert other.ratio.is_open
    other.objective.load_state_dict(model.objective.state_dict())
    assert not other.ratio.is_open, "what a checkpoint says counts"


def test_evaluation_measures_nothing() -> None:
    model = model_of(1.0, steps=2).eval()
    model(batch())
    assert int(model.objective.steps_measured) == 0


def test_terms_with_a_fixed_weight_are_left_alone() -> None:
    net = network()
    objective = Objective([Term(Scaled(1.0), 0.5), Term(Scaled(7.0), 1.0, balanced=True)])
    model = SupervisedModel(net, GradCAM(net, net[1], image_size=8), objective)
    model.ratio = GradientRatio(objective, 1)
    model(batch())
    assert float(objective.scale[0]) == 1.0
    assert float(objective.scale[1]) not in (0.0, 1.0)


def test_a_resumed_run_goes_on_as_it_would_have(options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """The scale is found in a later epoch: what was measured in the first is in the checkpoint."""
    whole = train(options(method="tap", epochs=30, out=tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        epoch = Trainer._epoch

        def stops(self: Trainer, number: int) -> object:
            if number == 1:
                raise KeyboardInterrupt
            return epoch(self, number)

        patch.setattr(Trainer, "_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            train(options(method="tap", epochs=30, out=tmp_path / "parts"))
    parts = train(options(method="tap", epochs=30, out=tmp_path / "parts", resume=True))
    expected, found = load_checkpoint(whole.last)[0], load_checkpoint(parts.last)[0]
    assert float(expected["objective/scale"][0]) not in (0.0, 1.0)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0, equal_nan=True, msg=name)


def test_the_warm_up_raises_the_explanation_loss_evenly(options: Callable[..., TrainConfig]) -> None:
    seen: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        set_ramp = Trainer._set_ramp

        def watched(self: Trainer, step: int) -> None:
            set_ramp(self, step)
            seen.append(self.setup.objective.ramp)

        patch.setattr(Trainer, "_set_ramp", watched)
        train(options(method="gradia", epochs=4, explanation_warmup=0.5))
    half = len(seen) / 2
    assert seen == pytest.approx([min(1.0, step / half) for step in range(len(seen))])


def test_a_term_that_reaches_nothing_is_not_waited_for() -> None:
    """First order moves nothing but what lies below the target layer, and that is frozen here."""
    net = network()
    net[0].requires_grad_(False)
    objective = Objective([Term(Scaled(1.0), 1.0, balanced=True)])
    model = SupervisedModel(net, GradCAM(net, net[1], second_order=False, image_size=8), objective)
    model.ratio = GradientRatio(objective, 1)
    model(batch())
    assert not model.ratio.is_open
    assert float(objective.scale) == 0
