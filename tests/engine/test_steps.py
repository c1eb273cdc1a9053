"""A step of every method and every explainer: no wait for the device, half precision, memory format."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lookright.config import TrainConfig
from lookright.engine.optimizer import make_optimizer
from lookright.engine.supervised import Step, SupervisedModel
from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, make_explainer
from lookright.explainers.propagation import bounds, gradient_bounds
from lookright.losses import GRADIA, METHODS, Objective, Term, adaptive_threshold, build_objective
from lookright.losses import base as losses_base
from lookright.types import Batch, Rows

SIZE, IMAGES, CLASSES = 32, 4, 3
ATTENTION = ("attention-rollout", "attention-relevance")
REGION = ("contextual-decomposition", "output-bounds", "input-gradient-bounds")


class Case(NamedTuple):
    method: str
    explainer: str = "grad-cam"


CASES = [
    *(Case(name) for name in METHODS),
    *(Case("gradia(reasonability=true)"), Case("haics(published=true)"), Case("res-g + evidence + energy")),
    *(Case("gradia", name) for name in EXPLAINERS if name not in REGION),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}, {case.explainer}")


def network_for(case: Case) -> nn.Module:
    """Plain layers, so that decompositions and bounds are defined, with BatchNorm; or a tiny transformer."""
    if case.explainer in ATTENTION or case.method == "robust-vit":
        return VisionTransformer(SIZE, 8, num_classes=CLASSES, embed_dim=16, depth=2, num_heads=2)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def batch() -> Batch:
    """Both signs, one sign, nothing marked and nothing annotated."""
    marks = torch.zeros(IMAGES, 1, SIZE, SIZE)
    marks[0, :, :16, :16], marks[0, :, 16:, 16:] = 1, -1
    marks[1, :, :16, :16], marks[2, :, :, 16:] = 1, -1
    annotated = torch.tensor([True, True, True, False])
    return Batch(torch.randn(IMAGES, 3, SIZE, SIZE), torch.arange(IMAGES) % CLASSES, marks, annotated, ())


def model_for(case: Case, network: nn.Module) -> SupervisedModel:
    explainer = make_explainer(case.explainer, network, image_size=SIZE)
    stages = ("2", "4") if isinstance(network, nn.Sequential) else ()
    config = TrainConfig(method=case.method, weighting="fixed", image_size=SIZE)
    return SupervisedModel(network, explainer, build_objective(config, 4, stages)).train()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, and not in the first step: the range of the marks is looked at in that one alone."""
    monkeypatch.setattr(losses_base, "_AT_HAND", ())
    monkeypatch.setattr(Objective, "_has_checked", True)


class Waits(TorchDispatchMode):
    """Note each operation whose result the host has to wait for, or whose shape depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in (args[1] if name.startswith(("index", "_index")) and isinstance(args[1], list) else ())
        )
        waits = (
            "_local_scalar_dense",
            "item",
            "is_nonzero",
            "nonzero",
            "masked_select",
            "equal",
            "lift_fresh",
        )
        if name in waits or "unique" in name or by_mask:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def take_step(model: SupervisedModel, images: Batch, optimizer: torch.optim.Optimizer) -> Step:
    step: Step = model(images)
    step.total.backward()
    optimizer.step()
    optimizer.zero_grad()
    return step


@every_case
@pytest.mark.usefixtures("no_cpu")
def test_no_step_waits_for_the_device(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the check that bounds are finite, which has to stop the run before the step."""
    for module in (bounds, gradient_bounds):
        monkeypatch.setattr(module, "check_finite", lambda _: None)
    model, images = model_for(case, network_for(case)), batch()
    optimizer = make_optimizer(TrainConfig(), model.parameters(), "cpu")
    with Waits() as waits:
        take_step(model, images, optimizer)
    assert waits.seen == []


def test_waits_are_seen() -> None:
    x = torch.tensor([1.0, 2.0])
    asked: dict[str, Callable[[], Any]] = {
        "_local_scalar_dense": lambda: float(x.sum()),
        "nonzero": lambda: x.nonzero(),
        "index": lambda: x[x > 1],
        "masked_select": lambda: x.masked_select(x > 1),
        "_unique2": lambda: x.unique(),
        "lift_fresh": lambda: x.new_tensor(2.0),
    }
    for name, ask in asked.items():
        with Waits() as waits:
            ask()
        assert name in waits.seen


@pytest.mark.usefixtures("no_cpu")
def test_rows_wait_once_a_score() -> None:
    """How many rows an image has at most is how many passes there are."""
    model, images = model_for(Case("res-g"), network_for(Case("res-g"))), batch()
    rows = Rows(torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0, 2, 1, 1, 0]))
    images = images._replace(
        annotation=images.annotation[rows.image], annotated=images.annotated[rows.image], rows=rows
    )
    with Waits() as waits:
        model(images).total.backward()
    assert waits.seen == ["_local_scalar_dense"]


@pytest.mark.parametrize("rows", [1, 5])
def test_the_threshold_does_not_wait(rows: int) -> None:
    values, marks = torch.rand(rows, 40), torch.randint(-1, 2, (rows, 40)).float()
    with Waits() as waits:
        adaptive_threshold(values, marks)
    assert waits.seen == []


@every_case
def test_bfloat16_is_near_float32(case: Case) -> None:
    """Losses in float32; gradients finite, and pointing where those of float32 do."""
    start, images = network_for(case), batch()
    steps, gradients = [], []
    for precision in (nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        torch.manual_seed(1)  # SmoothGrad draws
        model = model_for(case, copy.deepcopy(start))
        weights = [p for p in model.parameters() if p.requires_grad]
        with precision:
            step: Step = model(images)
        steps.append(step)
        found = torch.autograd.grad(step.total, weights, allow_unused=True, materialize_grads=True)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    assert steps[1].logits.dtype is torch.bfloat16
    assert steps[1].total.dtype is torch.float32
    assert all(part.dtype is torch.float32 for part in steps[1].explanation_losses)
    torch.testing.assert_close(steps[1].total, steps[0].total, rtol=0.05, atol=0.05)
    assert torch.isfinite(gradients[1]).all()
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9


@every_case
def test_losses_run_with_autocast_off(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    for term in (model := model_for(case, network_for(case))).objective.terms:

        def compute(inputs: Any, own: Any = term.loss.compute) -> Any:
            tensors = (
                inputs.explanation,
                inputs.annotation,
                inputs.full_annotation,
                inputs.image,
                inputs.logits,
            )
            seen.append(
                torch.is_autocast_enabled("cpu") or any(t.dtype is not torch.float32 for t in tensors)
            )
            return own(inputs)

        monkeypatch.setattr(term.loss, "compute", compute)
    with torch.autocast("cpu", torch.bfloat16):
        model(batch())
    assert not any(seen)
    assert len(seen) == len(model.objective.terms)


@every_case
def test_channels_last_gives_the_same(case: Case) -> None:
    start, images = network_for(case), batch()
    results = []
    for form in (torch.contiguous_format, torch.channels_last):
        network = copy.deepcopy(start).to(memory_format=form)
        model = model_for(case, network)
        torch.manual_seed(1)
        step: Step = model(images._replace(image=images.image.contiguous(memory_format=form)))
        weights = list(network.parameters())
        found = torch.autograd.grad(step.total, weights, allow_unused=True, materialize_grads=True)
        results.append([step.total.detach(), step.logits, *step.explanation_losses, *found])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_an_objective_that_supervises_needs_an_explainer() -> None:
    objective = Objective([Term(GRADIA())])
    with pytest.raises(ConfigError, match=r"explainer: missing, and the objective .* \(GRADIA\); give Grad"):
        SupervisedModel(network_for(Case("none")), None, objective)


def test_plain_objective_does_not_wait() -> None:
    model, images = SupervisedModel(network_for(Case("none")), None, Objective()), batch()
    with Waits() as waits:
        model(images).total.backward()
    assert waits.seen == []
