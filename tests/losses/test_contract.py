"""What every loss must do. A new loss is one more row of LOSSES."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import GradCAM
from lookright.losses import (
    GRADIA,
    HAICS,
    RES,
    AsDrawn,
    Evidence,
    ExplanationLoss,
    Objective,
    Outside,
    SoftIoU,
    Term,
    deep_imputer,
    shallow_imputer,
)
from lookright.types import Batch, Normalization

LOSSES: dict[str, Callable[[], ExplanationLoss]] = {
    "gradia": GRADIA,
    "haics": HAICS,
    "res-g": RES,
    "res-g per image": lambda: RES(per_image=True),
    "res without parts": lambda: RES(AsDrawn(), slack=0.0, threshold=0.5),
    "res-l s1": lambda: RES(shallow_imputer(8), regularizer=0.1),
    "res-l s2": lambda: RES(shallow_imputer(8, sees_image=True)),
    "res-l d1": lambda: RES(deep_imputer(8)),
    "res-l d2": lambda: RES(deep_imputer(8, sees_image=True), stop_gradient=True, regularizer=0.1),
    "evidence": Evidence,
    "evidence negative": lambda: Evidence(Outside.NEGATIVE),
    "soft iou": SoftIoU,
}
LEARNED = ("res-l s1", "res-l s2", "res-l d1", "res-l d2")
GRID, SIZE, IMAGES = 4, 32, 6

every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def annotations() -> Tensor:
    """Both signs, only positive, only negative, empty, full, and a thin scribble."""
    marks = torch.zeros(IMAGES, 1, SIZE, SIZE)
    marks[0, :, :16, :16], marks[0, :, 16:, 16:] = 1, -1
    marks[1, :, :, 8:16] = 1
    marks[2, :, 24:, 24:] = -1
    marks[4] = 1
    marks[5, :, 10:13, :] = 1
    return marks


def explanations(loss: ExplanationLoss, dtype: torch.dtype = torch.float32) -> Tensor:
    values = torch.rand(IMAGES, 1, GRID, GRID)
    if loss.request.normalization is Normalization.NONE:
        values = values - 0.5
    return values.to(dtype).requires_grad_()


def image() -> Tensor:
    return torch.rand(IMAGES, 3, SIZE, SIZE)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["mixed", "constant map", "map of zeros"])
def test_finite_with_finite_gradients(name: str, dtype: torch.dtype, kind: str) -> None:
    loss = LOSSES[name]()
    explanation = explanations(loss, dtype)
    if kind != "mixed":
        explanation = torch.full_like(explanation, 0.5 if kind == "constant map" else 0.0).requires_grad_()
    for rows in ([0, 1, 2, 3, 4, 5], [2], [3], [4]):
        part = explanation[rows].detach().requires_grad_()
        value = loss(part, annotations()[rows], image=image()[rows])
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
    nobody = torch.zeros(IMAGES, dtype=torch.bool)
    value = loss(explanation, annotations(), nobody, image())
    assert value.item() == 0
    value.backward()
    assert explanation.grad.abs().sum() == 0
    for parameter in loss.parameters():  # every process of a DDP run must have a gradient for each
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@every_loss
def test_unannotated_images_do_not_count(name: str) -> None:
    loss = LOSSES[name]()
    explanation, marks, pixels = explanations(loss), annotations(), image()
    some = torch.tensor([True, True, False, True, False, True])
    value = loss(explanation, marks, some, pixels)
    alone = loss(explanation[some], marks[some], None, pixels[some])
    torch.testing.assert_close(value, alone)
    value.backward()
    assert explanation.grad[~some].abs().sum() == 0


@every_loss
def test_an_image_contributes_alike_in_any_batch_unless_the_loss_pools(name: str) -> None:
    loss = LOSSES[name]()
    explanation, marks, pixels = explanations(loss).detach(), annotations(), image()
    together = loss(explanation, marks, None, pixels)
    alone = [loss(explanation[[i]], marks[[i]], None, pixels[[i]]) for i in range(IMAGES)]
    is_mean_of_images = torch.allclose(together, torch.stack(alone).mean(), atol=1e-6)
    pools = loss.pools and not (isinstance(loss, RES) and (loss.per_image or loss.threshold is not None))
    if not pools and name != "res without parts":
        assert is_mean_of_images


@every_loss
def test_flipping_explanation_and_annotation_together_changes_nothing(name: str) -> None:
    if name in LEARNED:
        pytest.skip("a learned imputer need not be symmetric")
    loss = LOSSES[name]()
    explanation, marks, pixels = explanations(loss), annotations(), image()
    value = loss(explanation, marks, None, pixels)
    flipped = loss(explanation.flip(-1), marks.flip(-1), None, pixels.flip(-1))
    torch.testing.assert_close(value, flipped)


@every_loss
def test_order_of_the_images_does_not_matter(name: str) -> None:
    loss = LOSSES[name]()
    explanation, marks, pixels = explanations(loss), annotations(), image()
    order = torch.randperm(IMAGES)
    torch.testing.assert_close(
        loss(explanation, marks, None, pixels), loss(explanation[order], marks[order], None, pixels[order])
    )


@every_loss
def test_same_value_inside_autocast(name: str) -> None:
    loss = LOSSES[name]()
    explanation, marks, pixels = explanations(loss), annotations(), image()
    value = loss(explanation, marks, None, pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(explanation, marks, None, pixels)
    assert torch.equal(value, inside)


@every_loss
def test_gradient_by_finite_differences(name: str) -> None:
    """In float64 through the public `compute`, with the solved threshold held fixed."""
    loss = LOSSES[name]().double()
    explanation, marks, pixels = explanations(loss).double().detach(), annotations(), image().double()
    if isinstance(loss, RES):
        from lookright.resize import resize_annotation

        fixed = loss.alpha(explanation, resize_annotation(marks, (GRID, GRID)).double())
        loss.alpha = lambda *_: fixed
    from lookright.losses import LossInputs
    from lookright.resize import resize_annotation

    on_grid = resize_annotation(marks, (GRID, GRID)).double()
    annotated = torch.ones(IMAGES, dtype=torch.bool)

    def value(x: Tensor) -> Tensor:
        return loss.compute(LossInputs(x, on_grid, annotated, marks.double(), pixels)).value

    assert torch.autograd.gradcheck(value, (explanation.requires_grad_(),), eps=1e-6, atol=1e-6)


@every_loss
def test_an_annotated_batch_moves_the_weights_and_an_unannotated_one_is_cross_entropy(name: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 8, stride=8),
        nn.Tanh(),
        nn.Conv2d(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    objective = Objective([Term(LOSSES[name](), 2.0)])
    explain = GradCAM(network, network[2])
    label = torch.tensor([0, 1, 0, 1, 0, 1])

    def gradients(annotated: bool) -> list[Tensor]:
        batch = Batch(image_, label, annotations(), torch.full((IMAGES,), annotated), ())
        result = objective(batch, explain(batch.image, batch.label, *objective.requests))
        return list(torch.autograd.grad(result.total, list(network.parameters())))

    image_ = image()
    plain = torch.autograd.grad(
        nn.functional.cross_entropy(network(image_), label), list(network.parameters())
    )
    for ours, theirs in zip(gradients(annotated=False), plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    moved = gradients(annotated=True)
    assert all((a - b).abs().max() > 1e-7 for a, b in zip(moved, plain, strict=True) if a.ndim > 1)


@every_loss
def test_unmarked_stays_unknown_unless_the_definition_counts_it(name: str) -> None:
    """Only losses that say so in their docstring move with cells that nobody marked."""
    loss = LOSSES[name]()
    marks = torch.zeros(1, 1, SIZE, SIZE)
    marks[..., :8, :8], marks[..., 8:16, :8] = 1, -1
    explanation = explanations(loss)[:1].detach()
    other = explanation.clone()
    other[..., 2:] += 0.1  # far from every mark
    changed = not torch.equal(
        loss(explanation, marks, None, image()[:1]), loss(other, marks, None, image()[:1])
    )
    counts_unmarked = name in ("gradia", "soft iou") or name.startswith("res")
    assert changed == counts_unmarked


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
def test_states_what_it_is(name: str) -> None:
    loss = LOSSES[name]()
    assert loss.paper
    assert loss.uses
    assert type(loss).__doc__
    assert "Example" in type(loss).__doc__
