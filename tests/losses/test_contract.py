"""What every loss must do. A new loss is one more row of LOSSES."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lookright.engine.supervised import SupervisedModel
from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, GradCAM
from lookright.losses import (
    CDEP,
    CYBORG,
    GRADIA,
    HAICS,
    HINT,
    L1,
    METHODS,
    PPCE,
    R4,
    RES,
    RRR,
    RRRG,
    TAP,
    AsDrawn,
    Energy,
    Evidence,
    ExplanationLoss,
    GALSMatch,
    GALSSuppress,
    Harmonization,
    IBPEx,
    LossInputs,
    LossResult,
    Objective,
    Outside,
    Pointwise,
    RobustViT,
    RRRStar,
    SoftIoU,
    Term,
    deep_imputer,
    shallow_imputer,
)
from lookright.losses import base as losses_base
from lookright.losses import objective as objectives
from lookright.resize import resize_annotation
from lookright.types import Batch, Explained, Normalization


def weighed_by_magnitude(loss: ExplanationLoss) -> ExplanationLoss:
    loss.magnitude_is_weight = True
    return loss


LOSSES: dict[str, Callable[[], ExplanationLoss]] = {
    "gradia": GRADIA,
    "gradia by reasonability": lambda: GRADIA(reasonability=True),
    "gradia by magnitude": lambda: weighed_by_magnitude(GRADIA()),
    "haics": HAICS,
    "haics by magnitude": lambda: weighed_by_magnitude(HAICS()),
    "haics as published": lambda: HAICS(published=True),
    "res-g": RES,
    "res-g per image": lambda: RES(per_image=True),
    "res-g without tanh": lambda: RES(tanh=False),
    "res-g of the positive map": lambda: RES(normalize=Normalization.RELU_MAX),
    "res-g unscaled": lambda: RES(normalize=Normalization.NONE),
    "res-l unscaled, without tanh": lambda: RES(
        shallow_imputer(8), tanh=False, normalize=Normalization.NONE, per_image=True
    ),
    "res without parts": lambda: RES(AsDrawn(), slack=0.0, threshold=0.5),
    "res-l s1": lambda: RES(shallow_imputer(8), regularizer=0.1),
    "res-l s2": lambda: RES(shallow_imputer(8, sees_image=True)),
    "res-l d1": lambda: RES(deep_imputer(8)),
    "res-l d2": lambda: RES(deep_imputer(8, sees_image=True), stop_gradient=True, regularizer=0.1),
    "evidence": Evidence,
    "evidence negative": lambda: Evidence(Outside.NEGATIVE),
    "soft iou": SoftIoU,
    "soft iou of the logit": lambda: SoftIoU("logit"),
    "hint": HINT,
    "cyborg": CYBORG,
    "cyborg by magnitude": lambda: weighed_by_magnitude(CYBORG(alpha=0.3)),
    "energy": Energy,
    "l1": L1,
    "ppce": PPCE,
    "ppce by magnitude": lambda: weighed_by_magnitude(PPCE()),
    "rrr-star": RRRStar,
    "rrr-star as published": lambda: RRRStar(published=True),
    "rrr-g": RRRG,
    "rrr": RRR,
    "gals-suppress": GALSSuppress,
    "gals-match": GALSMatch,
    "harmonization": Harmonization,
    "r4": R4,
    "tap": TAP,
    "tap as published": lambda: TAP(published=True),
    "cdep": CDEP,
    "ibp-ex": IBPEx,
    "robust-vit": RobustViT,
    "robust-vit as published": lambda: RobustViT(published=True),
}
GRID, SIZE, IMAGES, CLASSES = 4, 32, 6, 3

every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_method_has_its_loss_here() -> None:
    tested = {type(make()) for make in LOSSES.values()}
    assert {info.loss for info in METHODS.values() if info.loss} <= tested


def annotations() -> Tensor:
    """Both signs and graded, only positive, only negative, empty, full, and a thin scribble."""
    marks = torch.zeros(IMAGES, 1, SIZE, SIZE)
    marks[0, :, :16, :16], marks[0, :, 16:, 16:] = 1, -1
    marks[0, :, :8, :8], marks[0, :, 24:, 24:] = 0.6, -0.3
    marks[1, :, :, 8:16] = 1
    marks[2, :, 24:, 24:] = -1
    marks[4] = 1
    marks[5, :, 10:13, :] = 1
    return marks


def is_map(loss: ExplanationLoss) -> bool:
    """Whether it is defined on maps, and not on two numbers for each class."""
    name = (loss.request.explainer or "").partition("(")[0]
    return name not in ("contextual-decomposition", "output-bounds")


def explanations(loss: ExplanationLoss, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the loss requests, as random numbers."""
    if not is_map(loss):
        values = torch.randn(IMAGES, 2 * CLASSES, 1, 1)
        values[:, CLASSES:] = values[:, :CLASSES] + torch.rand(IMAGES, CLASSES, 1, 1)  # as of bounds
        return values.to(dtype).requires_grad_()
    shape = (3, SIZE, SIZE) if loss.request.channels else (1, GRID, GRID)
    values = torch.rand(IMAGES, *shape)
    if loss.request.normalization in (Normalization.NONE, Normalization.MAX_ABS):
        values = 2 * values - 1
    return values.to(dtype).requires_grad_()


class Given(NamedTuple):
    """What a loss gets beside the explanation."""

    annotation: Tensor
    image: Tensor
    logits: Tensor
    label: Tensor

    def pick(self, rows: Tensor | list[int]) -> "Given":
        return Given(*(part[rows] for part in self))

    def evaluate(
        self, loss: ExplanationLoss, explanation: Tensor, annotated: Tensor | None = None
    ) -> LossResult:
        return loss.evaluate(
            explanation, self.annotation, annotated, self.image, logits=self.logits, label=self.label
        )

    def value(self, loss: ExplanationLoss, explanation: Tensor, annotated: Tensor | None = None) -> Tensor:
        return self.evaluate(loss, explanation, annotated).value


def given() -> Given:
    return Given(
        annotations(),
        torch.rand(IMAGES, 3, SIZE, SIZE),
        torch.randn(IMAGES, CLASSES),
        torch.arange(IMAGES) % CLASSES,
    )


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["mixed", "constant map", "map of zeros", "negative map"])
def test_finite_with_finite_gradients(name: str, dtype: torch.dtype, kind: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss, dtype)
    if kind != "mixed":
        constant = {"constant map": 0.5, "map of zeros": 0.0, "negative map": -0.5}[kind]
        explanation = torch.full_like(explanation, constant)
    beside = beside._replace(image=beside.image.to(dtype), logits=beside.logits.to(dtype))
    for rows in ([0, 1, 2, 3, 4, 5], [2], [3], [4]):
        part = explanation[rows].detach().requires_grad_()
        value = beside.pick(rows).value(loss, part)
        assert value.dtype is torch.float32
        assert value.ndim == 0
        assert torch.isfinite(value)
        assert value >= 0
        value.backward()
        assert torch.isfinite(part.grad).all()


@every_loss
def test_nothing_annotated_is_a_zero_in_the_graph(name: str) -> None:
    loss = LOSSES[name]()
    explanation = explanations(loss)
    value = given().value(loss, explanation, torch.zeros(IMAGES, dtype=torch.bool))
    assert value.item() == 0
    value.backward()
    assert explanation.grad.abs().sum() == 0
    for parameter in loss.parameters():  # every process of a DDP run must have a gradient for each
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@every_loss
def test_unannotated_images_do_not_count(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss)
    some = torch.tensor([True, True, False, True, False, True])
    value = beside.value(loss, explanation, some)
    torch.testing.assert_close(value, beside.pick(some).value(loss, explanation[some]))
    value.backward()
    assert explanation.grad[~some].abs().sum() == 0


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.bfloat16])
def test_marks_of_any_type_count_and_what_stands_in_unannotated_rows_does_not(
    name: str, dtype: torch.dtype
) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss).detach()
    some = torch.tensor([True, True, False, True, False, True])
    marks = beside.annotation.sign()

    def objective(annotation: Tensor) -> Tensor:
        batch = Batch(beside.image, beside.label, annotation, some, ())
        return Objective([Term(loss)])(batch, Explained(beside.logits, {loss.request: explanation})).total

    nonsense = marks.clone().to(dtype)
    nonsense[~some] = torch.nan if dtype.is_floating_point else 7
    torch.testing.assert_close(objective(nonsense), objective(marks))


def test_losses_share_the_marks_on_their_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    resize = objectives.resize_annotation
    monkeypatch.setattr(objectives, "resize_annotation", lambda *args: made.append(1) or resize(*args))
    beside, losses = given(), [HINT(), GRADIA(), Energy()]
    explained = Explained(beside.logits, {each.request: torch.rand(IMAGES, 1, GRID, GRID) for each in losses})
    batch = Batch(beside.image, beside.label, beside.annotation, torch.ones(IMAGES, dtype=torch.bool), ())
    Objective([Term(each) for each in losses])(batch, explained)
    assert len(made) == 1


@every_loss
def test_weights_of_predictions(name: str) -> None:
    """One for each image, without gradient, in [0, 2]; an unannotated image keeps its prediction."""
    loss, beside = LOSSES[name](), given()
    some = torch.tensor([True, True, False, True, False, True])
    weight = beside.evaluate(loss, explanations(loss), some).prediction_weight
    if weight is None:
        return
    assert weight.shape == (IMAGES,)
    assert not weight.requires_grad
    assert ((weight >= 0) & (weight <= 2)).all()
    assert (weight[~some] == 1).all()


@every_loss
def test_an_image_contributes_alike_in_any_batch_unless_the_loss_pools(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss).detach()
    together = beside.value(loss, explanation)
    alone = [beside.pick([i]).value(loss, explanation[[i]]) for i in range(IMAGES)]
    is_mean_of_images = torch.allclose(together, torch.stack(alone).mean(), rtol=1e-5, atol=1e-6)
    if isinstance(loss, RES):
        assert is_mean_of_images or not loss.per_image
    else:
        assert is_mean_of_images != loss.pools


@every_loss
def test_flipping_explanation_and_annotation_together_changes_nothing(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    if list(loss.parameters()):
        pytest.skip("a learned imputer need not be symmetric")
    explanation = explanations(loss)
    flipped = beside._replace(annotation=beside.annotation.flip(-1), image=beside.image.flip(-1))
    torch.testing.assert_close(beside.value(loss, explanation), flipped.value(loss, explanation.flip(-1)))


@every_loss
def test_order_of_the_images_does_not_matter(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation, order = explanations(loss), torch.randperm(IMAGES)
    value = beside.value(loss, explanation)
    torch.testing.assert_close(value, beside.pick(order).value(loss, explanation[order]))


@every_loss
def test_same_value_inside_autocast(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss)
    value = beside.value(loss, explanation)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = beside.value(loss, explanation)
    assert torch.equal(value, inside)


@every_loss
def test_gradient_by_finite_differences(name: str) -> None:
    """In float64 through the public `compute`, with what is solved without gradient held fixed."""
    loss, rows = LOSSES[name]().double(), [0, 1, 2, 3]
    beside = Given(*(part.double() for part in given()))._replace(label=given().label).pick(rows)
    explanation = explanations(loss).double().detach()[rows, :, :8, :8]
    grid = explanation.shape[-2:] if is_map(loss) else (GRID, GRID)
    on_grid = resize_annotation(beside.annotation, (grid[0], grid[1]))
    if isinstance(loss, RES):
        alpha = loss.alpha(explanation, on_grid)
        loss.alpha = lambda *_: alpha
    if isinstance(loss, Harmonization):
        height = loss.height(explanation.mean(dim=1, keepdim=True))
        loss.height = lambda _: height

    def value(x: Tensor) -> Tensor:
        annotated = torch.ones(len(rows), dtype=torch.bool)
        inputs = LossInputs(
            x, on_grid, annotated, beside.annotation, beside.image, beside.logits, beside.label
        )
        return loss.compute(inputs).value

    assert torch.autograd.gradcheck(value, (explanation.requires_grad_(),), eps=1e-6, atol=1e-6)


def network_for(loss: ExplanationLoss) -> tuple[nn.Module, str]:
    """A tiny network that the loss's explainer fits, and a target layer."""
    if loss.request.explainer == "attention-relevance":
        network = VisionTransformer(SIZE, 8, num_classes=CLASSES, embed_dim=16, depth=2, num_heads=2)
        return network, "blocks.0"
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.Conv2d(6, 6, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)),
    ), "2"


@every_loss
def test_an_annotated_batch_moves_the_weights_and_an_unannotated_one_is_cross_entropy(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    network, layer = network_for(loss)
    explainer = GradCAM(network, layer, image_size=SIZE)
    model = SupervisedModel(network, explainer, Objective([Term(loss, 2.0)]))
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]

    def gradients(annotated: bool) -> tuple[Tensor, ...]:
        flags = torch.full((IMAGES,), annotated)
        step = model(Batch(beside.image, beside.label, beside.annotation, flags, ()))
        return torch.autograd.grad(step.total, weights)

    plain = torch.autograd.grad(nn.functional.cross_entropy(network(beside.image), beside.label), weights)
    for ours, theirs in zip(gradients(annotated=False), plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    pairs = zip(gradients(annotated=True), plain, strict=True)
    moved = [bool((ours - theirs).abs().max() > 1e-7) for ours, theirs in pairs]
    of_first_order = EXPLAINERS[loss.request.explainer or "grad-cam"].order == "first"
    assert any(moved) if of_first_order else all(moved)


@every_loss
def test_unmarked_stays_unknown_unless_the_definition_counts_it(name: str) -> None:
    """Only losses that say so move with cells that nobody marked, with marks of both signs or one."""
    loss = LOSSES[name]()
    if not is_map(loss):
        pytest.skip("its explanation has no cells")
    explanation = explanations(loss)[:1].detach().abs()  # some energy inside
    other = explanation.clone()
    other[..., other.shape[-1] // 2 :] += 0.1  # far from every mark
    marks = torch.zeros(1, 1, SIZE, SIZE)
    marks[..., :8, :8], marks[..., 8:16, :8] = 1, -1
    changed = False
    for annotation in (marks, marks.clamp(min=0), marks.clamp(max=0)):
        beside = given().pick([0])._replace(annotation=annotation)
        changed |= not torch.equal(beside.value(loss, explanation), beside.value(loss, other))
    assert changed == loss.counts_unmarked


@every_loss
def test_uses_the_marks_that_it_says(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation, marks = explanations(loss), beside.annotation
    value = beside.value(loss, explanation)
    if "positive" not in loss.uses:
        only_negative = beside._replace(annotation=marks.clamp(max=0))
        torch.testing.assert_close(value, only_negative.value(loss, explanation))
    if "negative" not in loss.uses and not loss.magnitude_is_weight:
        only_positive = beside._replace(annotation=marks.clamp(min=0))
        torch.testing.assert_close(value, only_positive.value(loss, explanation))


@every_loss
def test_shapes_that_do_not_fit_are_said(name: str) -> None:
    loss = LOSSES[name]()
    with pytest.raises(ConfigError, match="explanation: got shape"):
        loss(torch.zeros(2, GRID, GRID), torch.zeros(2, 1, 8, 8))
    with pytest.raises(ConfigError, match="annotation: got shape"):
        loss(torch.zeros(2, 1, GRID, GRID), torch.zeros(3, 1, 8, 8))
    with pytest.raises(ConfigError, match="annotated: got shape"):
        loss(torch.zeros(2, 1, GRID, GRID), torch.zeros(2, 1, 8, 8), torch.ones(3))


@every_loss
def test_a_mask_of_0_and_255_is_refused(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation = explanations(loss).detach()
    for _ in range(2):
        beside.value(loss, explanation)
        with pytest.raises(ConfigError, match=r"annotation: got values from -?\d+ to 255, need .* by 255"):
            beside._replace(annotation=255 * beside.annotation.sign()).value(loss, explanation)
    as_read = (255 * beside.annotation.abs().ceil()).to(torch.uint8)
    with pytest.raises(ConfigError, match=r"annotation: got values from 0 to 255, need .* by 255"):
        beside._replace(annotation=as_read).value(loss, explanation)


@every_loss
def test_marks_of_whole_numbers_are_those_of_floats(name: str) -> None:
    loss, beside = LOSSES[name](), given()
    explanation, whole = explanations(loss).detach(), beside.annotation.sign()
    expected = beside._replace(annotation=whole).value(loss, explanation)
    for dtype in (torch.int8, torch.int64):
        found = beside._replace(annotation=whole.to(dtype)).value(loss, explanation)
        torch.testing.assert_close(found, expected)


def test_on_a_gpu_the_first_annotation_alone_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses_base, "_AT_HAND", ())
    explanation, marks = torch.rand(IMAGES, 1, GRID, GRID), annotations()
    loss = HINT()
    with pytest.raises(ConfigError, match="annotation: got values"):
        loss(explanation, 255 * marks)
    loss(explanation, marks)
    loss(explanation, 255 * marks)  # to look would be to wait


def test_a_batch_with_a_mask_of_0_and_255_is_refused() -> None:
    """By the objective too, which brings marks to the grid for all losses; not for images without any."""
    beside, loss = given(), HINT()
    explained = Explained(beside.logits, {loss.request: torch.rand(IMAGES, 1, GRID, GRID)})
    some = torch.tensor([True, True, False, True, False, True])
    objective = Objective([Term(loss)])
    for marks in (255 * beside.annotation, beside.annotation.where(beside.annotation < 1, torch.nan)):
        with pytest.raises(ConfigError, match=r"annotation: got values from .*, need \[-1, 1\]"):
            objective(Batch(beside.image, beside.label, marks, some, ()), explained)
    marks = beside.annotation.clone()
    marks[~some] = 255
    objective(Batch(beside.image, beside.label, marks, some, ()), explained)


@every_loss
def test_states_what_it_is(name: str) -> None:
    loss = LOSSES[name]()
    assert loss.paper
    assert loss.uses
    assert type(loss).__doc__
    assert "Example" in type(loss).__doc__


def test_a_pointwise_loss_without_cells_is_said() -> None:
    with pytest.raises(TypeError, match="must override cells"):
        Pointwise()(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
