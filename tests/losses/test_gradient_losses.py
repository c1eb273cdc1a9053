"""Losses on gradients and activations against NumPy written from the formulas, and through a network."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.config import TrainConfig
from lookright.engine.supervised import SupervisedModel
from lookright.errors import ConfigError
from lookright.explainers import GradCAM
from lookright.losses import (
    R4,
    RRR,
    TAP,
    ExplanationLoss,
    GALSMatch,
    GALSSuppress,
    Harmonization,
    LossInputs,
    Objective,
    Term,
    build_objective,
)
from lookright.resize import resize_annotation
from lookright.types import Batch

Array = NDArray[np.float64]
Make = Callable[[], ExplanationLoss]
LOSSES: dict[str, Make] = {
    "rrr": RRR,
    "gals-suppress": GALSSuppress,
    "gals-match": GALSMatch,
    "harmonization": Harmonization,
    "harmonization of two levels": lambda: Harmonization(2),
    "r4": R4,
    "r4 squared": lambda: R4(squared=True),
    "tap": TAP,
    "tap as published": lambda: TAP(published=True),
}
every_loss = pytest.mark.parametrize("name", LOSSES)
SIDE = 16


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def marks() -> Tensor:
    """Both signs, graded; one sign each; none; a full positive one."""
    annotation = torch.zeros(5, 1, SIDE, SIDE)
    annotation[0, :, :6, 2:9], annotation[0, :, 10:, 10:] = 1, -0.5
    annotation[1, :, 4:9], annotation[2, :, :7] = 0.7, -1
    annotation[4] = 1
    return annotation


def explanations(loss: ExplanationLoss) -> Tensor:
    values = torch.randn(5, 3, SIDE, SIDE) if loss.request.channels else torch.randn(5, 1, 4, 4)
    return values.abs() if isinstance(loss, R4) else values


def expected(formula: Callable[[Array, Array], float], maps: Tensor) -> float:
    """Mean over the images."""
    pairs = zip(maps.double().numpy(), marks()[:, 0].double().numpy(), strict=True)
    return float(np.mean([formula(m, f) for m, f in pairs]))


def rrr(m: Array, f: Array) -> float:
    return float((np.maximum(-f, 0) * m**2).sum())


def r4(m: Array, f: Array) -> float:
    return float((np.maximum(-f, 0) * m).sum() / m.size)


def r4_squared(m: Array, f: Array) -> float:
    return float((np.maximum(-f, 0) * m**2).sum() / m.size)


def gals_suppress(m: Array, f: Array) -> float:
    gradient = -m  # of the cross-entropy: m is that of the log probability
    soft = np.maximum(f, 0) if f.max() > 0 else 1 - np.maximum(-f, 0)
    return float(np.abs(gradient - gradient * soft).mean())


def gals_match(m: Array, f: Array) -> float:
    gradient, soft = -m, np.maximum(f, 0)
    return float(np.abs(gradient - ((1 - soft) * gradient + soft)).mean())


def standardized(m: Array) -> Array:
    return np.maximum((m - m.mean()) / (m.std() + 1e-5), 0)


def harmonization(levels: int) -> Callable[[Array, Array], float]:
    def formula(m: Array, f: Array) -> float:
        drawn = np.maximum(f, 0)
        if drawn.max() == drawn.min():
            return 0.0
        ours, theirs = standardized(m.mean(axis=0)), standardized(drawn)
        theirs = theirs / (theirs.max() + 1e-6) * (ours.max() + 1e-6)
        total = 0.0
        for level in range(levels):
            if level:
                ours, theirs = halved(ours), halved(theirs)
            total += ((ours - theirs) ** 2).mean()
        return total / levels

    return formula


def halved(m: Array) -> Array:
    for axis in (0, 1):
        m = correlate1d(m, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="constant")
    if m.shape[0] == 1:
        return m
    return m.reshape(m.shape[0] // 2, 2, m.shape[1] // 2, 2).mean(axis=(1, 3))


def dilated(m: Array) -> Array:
    around = np.pad(m, 1)
    height, width = m.shape
    return np.max([around[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)


def tap(m: Array, f: Array) -> float:
    pooled = dilated(np.maximum(-f, 0)).reshape(4, 4, 4, 4).mean(axis=(1, 3))
    return float(((pooled * m[0]) ** 2).sum())


def tap_published(m: Array, f: Array) -> float:
    once = dilated(np.maximum(-f, 0)).reshape(8, 2, 8, 2).mean(axis=(1, 3))
    twice = dilated(once).reshape(4, 2, 4, 2).mean(axis=(1, 3))
    return float(((twice * m[0]) ** 2).sum())


FORMULAS = {
    "rrr": rrr,
    "gals-suppress": gals_suppress,
    "gals-match": gals_match,
    "harmonization": harmonization(5),
    "harmonization of two levels": harmonization(2),
    "r4": r4,
    "r4 squared": r4_squared,
    "tap": tap,
    "tap as published": tap_published,
}


@every_loss
def test_formula(name: str) -> None:
    loss = LOSSES[name]()
    maps = explanations(loss)
    assert loss(maps, marks()).item() == pytest.approx(expected(FORMULAS[name], maps), rel=1e-4)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_with_finite_gradients(name: str, dtype: torch.dtype) -> None:
    loss = LOSSES[name]()
    random = explanations(loss).to(dtype)
    for maps in (random, torch.zeros_like(random), torch.full_like(random, 1e4), random * 1e-20):
        for rows in ([0, 1, 2, 3, 4], [2], [3], [4]):
            part = maps[rows].detach().requires_grad_()
            value = loss(part, marks()[rows])
            assert value.dtype is torch.float32
            assert torch.isfinite(value)
            assert value >= 0
            value.backward()
            assert torch.isfinite(part.grad).all()


@every_loss
def test_nothing_annotated_is_a_zero_in_the_graph(name: str) -> None:
    loss = LOSSES[name]()
    maps = explanations(loss).requires_grad_()
    value = loss(maps, marks(), torch.zeros(5, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert maps.grad.abs().sum() == 0


@every_loss
def test_gradient_by_finite_differences(name: str) -> None:
    loss = LOSSES[name]()
    maps = explanations(loss)[:3, :, :8, :8].double()
    annotation = marks()[:3, :, ::2, ::2].double()
    annotated = torch.ones(3, dtype=torch.bool)
    if isinstance(loss, Harmonization):
        height = loss.height(maps.mean(dim=1, keepdim=True))
        loss.height = lambda _: height

    def value(x: Tensor) -> Tensor:
        inputs = LossInputs(x, annotation, annotated, annotation)
        return loss.compute(inputs).value

    assert torch.autograd.gradcheck(value, (maps.requires_grad_(),), eps=1e-6, atol=1e-6)


@every_loss
def test_mirroring_explanation_and_annotation_changes_nothing(name: str) -> None:
    loss = LOSSES[name]()
    for side in (SIDE, SIDE - 1):  # an odd side as well
        maps, annotation = explanations(loss)[..., :side, :side], marks()[..., :side, :side]
        torch.testing.assert_close(loss(maps, annotation), loss(maps.flip(-1), annotation.flip(-1)))


@every_loss
def test_uses_the_marks_that_it_says(name: str) -> None:
    loss = LOSSES[name]()
    maps, annotation = explanations(loss), marks()
    value = loss(maps, annotation)
    if "positive" not in loss.uses:
        torch.testing.assert_close(value, loss(maps, annotation.clamp(max=0)))
    if "negative" not in loss.uses:
        torch.testing.assert_close(value, loss(maps, annotation.clamp(min=0)))


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=4),
        nn.Softplus(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def batch(annotated: bool = True) -> Batch:
    image, label = torch.rand(5, 3, SIDE, SIDE), torch.tensor([0, 1, 2, 0, 1])
    return Batch(image, label, marks(), torch.full((5,), annotated), tuple("abcde"))


def supervised(loss: ExplanationLoss, model: nn.Module) -> SupervisedModel:
    return SupervisedModel(model, GradCAM(model, "2", image_size=SIDE), Objective([Term(loss)]))


@pytest.mark.parametrize("layer", [None, "0"])
def test_rrr_is_of_all_log_probabilities(layer: str | None) -> None:
    model, given = network().double(), batch()
    given = given._replace(image=given.image.double())
    loss = RRR()
    loss.request = replace(loss.request, layer=layer)
    found = supervised(loss, model)(given).explanation_loss
    site = given.image.requires_grad_() if layer is None else model[0](given.image)
    logits = (model if layer is None else model[1:])(site)
    (gradient,) = torch.autograd.grad(logits.log_softmax(dim=1).sum(), site)
    negative = (-marks()).clamp(min=0).double()
    if layer is not None:
        negative = resize_annotation(marks(), (4, 4)).clamp(max=0).neg().double()
    torch.testing.assert_close(found, (negative * gradient**2).sum() / 5)


@pytest.mark.parametrize("kind", [GALSSuppress, GALSMatch])
def test_gals_is_of_the_cross_entropy(kind: type[ExplanationLoss]) -> None:
    model, given = network(), batch()
    found = supervised(kind(), model)(given).explanation_loss
    image = given.image.requires_grad_()
    cross_entropy = F.cross_entropy(model(image), given.label, reduction="sum")
    (gradient,) = torch.autograd.grad(cross_entropy, image)
    formula = gals_suppress if kind is GALSSuppress else gals_match
    assert found.item() == pytest.approx(expected(formula, -gradient), rel=1e-4)


@every_loss
def test_reaches_the_weights_and_leaves_unannotated_images_alone(name: str) -> None:
    model = network()
    if name.startswith("r4"):
        model = nn.Sequential(*(nn.ReLU() if isinstance(m, nn.Softplus) else m for m in model))
    loss = LOSSES[name]()
    step = supervised(loss, model)(batch())
    gradients = torch.autograd.grad(step.explanation_loss, list(model.parameters()), allow_unused=True)
    assert gradients[0].abs().max() > 0
    plain = supervised(loss, model)(batch(annotated=False))
    assert plain.explanation_loss == 0
    torch.testing.assert_close(plain.total, plain.prediction_loss)


def test_tap_in_all_stages() -> None:
    def terms(method: str, layers: tuple[str, ...] = ("a", "b", "c", "d")) -> list[tuple[str | None, float]]:
        objective = build_objective(TrainConfig(method=method), 32, layers)
        return [(term.loss.request.layer, term.weight) for term in objective.terms]

    assert terms("tap") == [("a", 0.25), ("b", 0.25), ("c", 0.25), ("d", 0.25)]
    assert terms("2*tap(layers=last)") == [("d", 2.0)]
    assert terms("tap(layers=c)") == [("c", 1.0)]
    assert terms("tap(layers=[a, c], published=true)") == [("a", 0.5), ("c", 0.5)]
    assert terms("tap", ()) == [(None, 1.0)]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Harmonization(0), "levels: got 0"),
        (lambda: R4(epsilon=-1.0), "epsilon: got -1.0"),
        (lambda: build_objective(TrainConfig(method="tap(size=2)"), 32), "tap has no option 'size'"),
    ],
)
def test_an_option_out_of_its_range(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
