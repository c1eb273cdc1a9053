"""Losses on the output: parts and bounds of the logits, and the relevance map of a transformer."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.config import TrainConfig
from lookright.engine.supervised import SupervisedModel
from lookright.errors import ConfigError
from lookright.explainers import GradCAM
from lookright.explainers.propagation import contextual_decomposition, output_bounds
from lookright.losses import (
    CDEP,
    ExplanationLoss,
    IBPEx,
    LossInputs,
    Objective,
    RobustViT,
    Term,
    build_objective,
)
from lookright.types import Batch

Array = NDArray[np.float64]
LOSSES: dict[str, Callable[[], ExplanationLoss]] = {
    "cdep": CDEP,
    "ibp-ex": IBPEx,
    "robust-vit": RobustViT,
    "robust-vit as published": lambda: RobustViT(published=True),
}
every_loss = pytest.mark.parametrize("name", LOSSES)
SIDE, CLASSES = 16, 3


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


def label() -> Tensor:
    return torch.tensor([0, 1, 2, 0, 1])


def explanations(loss: ExplanationLoss) -> Tensor:
    if isinstance(loss, RobustViT):
        return torch.rand(5, 1, 4, 4)
    parts = torch.randn(5, 2 * CLASSES, 1, 1)
    if isinstance(loss, IBPEx):
        parts[:, CLASSES:] = parts[:, :CLASSES] + torch.rand(5, CLASSES, 1, 1)
    return parts


def test_cdep_formula() -> None:
    parts = explanations(CDEP())
    beta, gamma = parts[:, :CLASSES, 0, 0].double().numpy(), parts[:, CLASSES:, 0, 0].double().numpy()
    share = (np.exp(beta) / (np.exp(beta) + np.exp(gamma))).mean(axis=1)
    has_negative = np.array([1, 0, 1, 0, 0])
    assert CDEP()(parts, marks()).item() == pytest.approx((share * has_negative).mean(), rel=1e-5)


def test_ibp_ex_formula() -> None:
    parts = explanations(IBPEx())
    lower, upper = parts[:, :CLASSES, 0, 0].double().numpy(), parts[:, CLASSES:, 0, 0].double().numpy()
    total = 0.0
    for i in (0, 2):  # those with a negative mark
        worst = upper[i].copy()
        worst[label()[i]] = lower[i, label()[i]]
        total += np.log(np.exp(worst).sum()) - worst[label()[i]]
    assert IBPEx()(parts, marks(), label=label()).item() == pytest.approx(total / 5, rel=1e-5)


def test_robust_vit_formula() -> None:
    relevance, logits = torch.rand(5, 1, SIDE, SIDE), torch.randn(5, CLASSES)
    total = 0.0
    for r, f, z in zip(relevance[:, 0].numpy(), marks()[:, 0].numpy(), logits.double().numpy(), strict=True):
        r = (r - r.min()) / ((r - r.min()).max() + 1e-6)
        foreground = np.maximum(f, 0)
        background = 1 - foreground if foreground.any() else np.maximum(-f, 0)
        maps = 2 * ((r * background) ** 2).mean() + 0.3 * ((r * foreground - foreground) ** 2).mean()
        total += 0.8 * maps + 0.2 * (np.log(np.exp(z).sum()) - z.max())
    assert RobustViT()(relevance, marks(), logits=logits).item() == pytest.approx(total / 5, rel=1e-5)


def test_robust_vit_compares_at_the_size_of_the_annotation() -> None:
    coarse, logits = torch.rand(5, 1, 4, 4), torch.randn(5, CLASSES)
    fine = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    loss = RobustViT()
    torch.testing.assert_close(loss(coarse, marks(), logits=logits), loss(fine, marks(), logits=logits))


def test_robust_vit_as_published_has_no_label() -> None:
    relevance, logits, annotated = torch.rand(5, 1, 4, 4), torch.randn(5, 3), torch.arange(5) < 2
    weight = (
        RobustViT(published=True).evaluate(relevance, marks(), annotated, logits=logits).prediction_weight
    )
    assert weight is not None
    assert weight.tolist() == [0, 0, 1, 1, 1]
    assert RobustViT().evaluate(relevance, marks(), annotated, logits=logits).prediction_weight is None


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_with_finite_gradients(name: str, dtype: torch.dtype) -> None:
    loss = LOSSES[name]()
    random, logits = explanations(loss).to(dtype), torch.randn(5, CLASSES).to(dtype)
    for maps in (random, torch.zeros_like(random), random * 1e4):
        for rows in ([0, 1, 2, 3, 4], [2], [3], [4]):
            part = maps[rows].detach().requires_grad_()
            value = loss(part, marks()[rows], logits=logits[rows], label=label()[rows])
            assert value.dtype is torch.float32
            assert torch.isfinite(value)
            assert value >= 0
            value.backward()
            assert torch.isfinite(part.grad).all()


@every_loss
def test_nothing_annotated_is_a_zero_in_the_graph(name: str) -> None:
    loss = LOSSES[name]()
    maps = explanations(loss).requires_grad_()
    nobody = torch.zeros(5, dtype=torch.bool)
    value = loss(maps, marks(), nobody, logits=torch.randn(5, CLASSES), label=label())
    value.backward()
    assert value.item() == 0
    assert maps.grad.abs().sum() == 0


@every_loss
def test_gradient_by_finite_differences(name: str) -> None:
    loss = LOSSES[name]()
    annotation, annotated = marks().double(), torch.ones(5, dtype=torch.bool)

    def value(maps: Tensor, logits: Tensor) -> Tensor:
        inputs = LossInputs(maps, annotation, annotated, annotation, logits=logits, label=label())
        return loss.compute(inputs).value

    maps, logits = explanations(loss).double().requires_grad_(), torch.randn(5, CLASSES).double()
    logits.requires_grad_(isinstance(loss, RobustViT))
    assert torch.autograd.gradcheck(value, (maps, logits), eps=1e-6, atol=1e-6)


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)),
    )


def transformer() -> VisionTransformer:
    return VisionTransformer(SIDE, 4, num_classes=CLASSES, embed_dim=16, depth=2, num_heads=2)


def batch(annotated: bool = True) -> Batch:
    image = torch.rand(5, 3, SIDE, SIDE)
    return Batch(image, label(), marks(), torch.full((5,), annotated), tuple("abcde"))


def supervised(loss: ExplanationLoss, network: nn.Module) -> SupervisedModel:
    layer = "blocks.0" if isinstance(network, VisionTransformer) else "2"
    explainer = GradCAM(network, layer, image_size=SIDE)
    return SupervisedModel(network, explainer, Objective([Term(loss)]))


@every_loss
def test_reaches_the_weights_and_leaves_unannotated_images_alone(name: str) -> None:
    network = transformer() if name.startswith("robust") else convolutions()
    loss = LOSSES[name]()
    step = supervised(loss, network)(batch())
    weights = [p for p in network.parameters() if p.ndim == 4]
    assert torch.autograd.grad(step.explanation_loss, weights)[0].abs().max() > 0
    plain = supervised(loss, network)(batch(annotated=False))
    assert plain.explanation_loss == 0
    torch.testing.assert_close(plain.total, plain.prediction_loss)


def test_cdep_splits_at_the_negative_marks() -> None:
    network, given = convolutions(), batch()
    found = supervised(CDEP(), network)(given).explanation_loss
    beta, gamma = contextual_decomposition(network, given.image, marks() < 0)
    share = torch.stack([beta, gamma]).softmax(dim=0)[0].mean(dim=1)
    torch.testing.assert_close(found, share[[0, 2]].sum() / 5)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_ibp_ex_is_at_least_the_cross_entropy_of_any_image_of_the_box(epsilon: float) -> None:
    network, given = convolutions(), batch()
    found = supervised(IBPEx(epsilon=epsilon), network)(given).explanation_loss
    region = marks() < 0
    lower, upper = output_bounds(network, given.image, region, epsilon)
    own = F.one_hot(label(), CLASSES).bool()
    worst = F.cross_entropy(torch.where(own, lower, upper), label(), reduction="none")
    torch.testing.assert_close(found, worst[[0, 2]].sum() / 5)
    noise = (2 * torch.rand(20, *given.image.shape) - 1) * epsilon * region
    logits = network((given.image + noise).flatten(0, 1))
    any_image = F.cross_entropy(logits, label().repeat(20), reduction="none").view(20, 5)[:, [0, 2]]
    assert (any_image.sum(dim=1) / 5 <= found + 1e-6).all()
    if not epsilon:
        torch.testing.assert_close(any_image[0].sum() / 5, found)


@pytest.mark.parametrize("method", ["ibp-ex(epsilon=0.5)", "r4(epsilon=0.5)"])
def test_the_size_of_the_box_reaches_the_explainer(method: str) -> None:
    (request,) = build_objective(TrainConfig(method=method), 32).requests
    assert request.explainer is not None
    assert request.explainer.endswith("(epsilon=0.5)")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: RobustViT(foreground=-1), "need 0 or more each"),
        (lambda: RobustViT()(torch.rand(5, 1, 4, 4), marks()), "logits: missing"),
        (lambda: IBPEx(epsilon=float("nan")), "epsilon: got nan"),
        (lambda: IBPEx()(torch.rand(5, 6, 1, 1), marks()), "label: missing"),
        (lambda: IBPEx()(torch.rand(5, 5, 1, 1), marks(), label=label()), r"need \(B, 2K, 1, 1\)"),
        (lambda: CDEP()(torch.rand(5, 6, 2, 2), marks()), r"need \(B, 2K, 1, 1\)"),
    ],
)
def test_what_cannot_be_is_said(call: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        call()
