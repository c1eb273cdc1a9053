"""What runs before the target layer, compiled: equal to eager, and a clear way out where it cannot be."""

import copy
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import assert_same_run
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lookright.config import TrainConfig
from lookright.engine.compiled import compile_trunk, units_below
from lookright.engine.guard import check_reach
from lookright.engine.supervised import SupervisedModel
from lookright.engine.train import train
from lookright.engine.weighting import GradientRatio
from lookright.errors import LookrightWarning
from lookright.explainers import EXPLAINERS, Explainer, GradCAM, make_explainer
from lookright.losses import RES, Energy, Evidence, Objective, Term
from lookright.models import create
from lookright.types import Batch, Request, Target
from networks import FAMILIES, IMAGE_SIZE

PREDICTED = Request(target=Target.PREDICTED)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    counters.clear()


def small() -> nn.Module:
    return create("small_cnn", num_classes=3, image_size=32).network


def batch(size: int = 4) -> Batch:
    marks = torch.zeros(size, 1, 32, 32)
    marks[..., :16], marks[..., 16:] = 1, -1
    label = torch.arange(size) % 3
    return Batch(torch.randn(size, 3, 32, 32), label, marks, torch.ones(size, dtype=torch.bool), ())


def pair(explain: Callable[[nn.Module], Explainer], backend: Any) -> tuple[list[nn.Module], list[Explainer]]:
    """A network as it is, and its compiled twin, each with an explainer."""
    networks = [small()]
    networks.append(copy.deepcopy(networks[0]))
    explainers = [explain(network) for network in networks]
    units = compile_trunk(networks[1], [explainers[1]], image_size=32, backend=backend)
    assert units == ["features.0", "features.1", "features.2"]
    return networks, explainers


def gradients(network: nn.Module, explainer: Explainer, batch: Batch, objective: Objective) -> list[Tensor]:
    """Of one training step, with what else asks for gradients in one."""
    model = SupervisedModel(network, explainer, objective)
    step = model(batch)
    GradientRatio(objective, 2).measure(
        objective.weigh(step.prediction_loss, (step.explanation_loss,), {}), network
    )
    check_reach(step.explanation_loss, network)
    weights = [p for p in network.parameters() if p.requires_grad]
    return [step.logits, *torch.autograd.grad(step.total, weights)]


@pytest.mark.parametrize(
    ("name", "second_order"),
    [("grad-cam", True), ("grad-cam", False), ("hires-cam", True), ("activation", True)],
)
def test_same_step_as_eager(name: str, second_order: bool) -> None:
    def explain(network: nn.Module) -> Explainer:
        return make_explainer(name, network, second_order=second_order, image_size=32)

    networks, explainers = pair(explain, "aot_eager")
    images = batch()
    eager, compiled = (
        gradients(network, explainer, images, Objective([Term(RES())]))
        for network, explainer in zip(networks, explainers, strict=True)
    )
    assert counters["stats"]["unique_graphs"] > 0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(compiled, eager, strict=True))
    statistics = zip(networks[1].buffers(), networks[0].buffers(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in statistics)


def test_names_and_weights_stay() -> None:
    networks, _ = pair(lambda network: GradCAM(network, image_size=32), "aot_eager")
    before, after = (network.state_dict() for network in networks)
    assert list(before) == list(after)
    assert [name for name, _ in networks[0].named_modules()] == [
        name for name, _ in networks[1].named_modules()
    ]


def test_each_mode_and_each_size_of_batches_is_compiled_once() -> None:
    networks, explainers = pair(lambda network: GradCAM(network, image_size=32), "aot_eager")
    objective = Objective([Term(Energy())])

    def step(size: int) -> None:
        images = batch(size)
        results = [
            gradients(n.train(), e, images, objective) for n, e in zip(networks, explainers, strict=True)
        ]
        for eager, compiled in zip(*results, strict=True):
            torch.testing.assert_close(eager, compiled)

    def look(size: int) -> None:
        for network in networks:
            network.eval()
        image = torch.randn(size, 3, 32, 32)
        with torch.no_grad():
            maps = [explain(image, None, PREDICTED).explanation for explain in explainers]
        torch.testing.assert_close(*maps)

    for size in (4, 3):  # the last batch of an epoch is smaller
        step(size)
        look(2 * size)
    counted = counters["stats"]["unique_graphs"]
    assert counted == 3 * 2 * 2  # three modules, two modes, two sizes
    for size in (4, 3):
        step(size)
        look(2 * size)
    assert counters["stats"]["unique_graphs"] == counted


@pytest.mark.skipif(
    "LOOKRIGHT_INDUCTOR" not in os.environ, reason="compiles C++ for a minute: set LOOKRIGHT_INDUCTOR=1"
)
def test_same_step_with_inductor() -> None:
    networks, explainers = pair(lambda network: GradCAM(network, image_size=32), "inductor")
    images, objective = batch(), Objective([Term(Evidence())])
    results = [gradients(n, e, images, objective) for n, e in zip(networks, explainers, strict=True)]
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-4)


def test_a_compiler_that_fails_is_told_once_and_the_run_goes_on() -> None:
    def broken(*_: Any) -> Any:
        raise OSError("g++: not found\nat a length of pages")

    networks, explainers = pair(lambda network: GradCAM(network, image_size=32), broken)
    images, objective = batch(), Objective([Term(Energy())])
    with pytest.warns(LookrightWarning, match=r"compile: .*OSError: g\+\+: not found\); .* C\+\+") as caught:
        compiled = gradients(networks[1], explainers[1], images, objective)
    assert len([w for w in caught if issubclass(w.category, LookrightWarning)]) == 1
    eager = gradients(networks[0], explainers[0], images, objective)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(compiled, eager, strict=True))


def test_no_torch_compile_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("torch.compile is not supported here")

    network = small()
    monkeypatch.setattr(nn.Module, "compile", refuse)
    with pytest.warns(LookrightWarning, match="torch.compile is not supported here"):
        assert compile_trunk(network, [GradCAM(network, image_size=32)], image_size=32) == []


@pytest.mark.parametrize(
    "name", ["input-gradient", "smooth-grad(samples=2)", "output-bounds", "contextual-decomposition"]
)
def test_what_looks_at_all_of_the_network_is_not_compiled(name: str) -> None:
    network = small()
    assert EXPLAINERS[name.partition("(")[0]]
    explainers = [GradCAM(network, image_size=32), make_explainer(name, network, image_size=32)]
    with pytest.warns(LookrightWarning, match="looks at all of the network"):
        assert compile_trunk(network, explainers, image_size=32, backend="eager") == []
    assert all(module._compiled_call_impl is None for module in network.modules())


def test_what_is_served_from_the_cache_is_not_compiled(caplog: pytest.LogCaptureFixture) -> None:
    network = small()
    explainers = [GradCAM(network, image_size=32)]
    caplog.set_level(logging.INFO, "lookright")
    rest = compile_trunk(network, explainers, image_size=32, served=["features.0"], backend="eager")
    assert rest == ["features.1", "features.2"]
    assert compile_trunk(network, explainers, image_size=32, served=["features"]) == []
    assert "cached" in caplog.text


def test_nothing_below() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    with pytest.warns(LookrightWarning, match="no module of several layers leads to 1"):
        assert compile_trunk(network, [GradCAM(network, "1", image_size=8)], image_size=8) == []


def test_the_lowest_layer_of_all_explainers_counts() -> None:
    network = small()
    lower = make_explainer("activation", network, "features.1", image_size=32)
    explainers = [GradCAM(network, image_size=32), lower]
    assert compile_trunk(network, explainers, image_size=32, backend="eager") == ["features.0"]


@pytest.mark.parametrize("name", FAMILIES)
def test_units_have_run_when_the_target_layer_returns(name: str) -> None:
    """By hooks: none of them runs later; and they are containers, outermost ones."""
    network = FAMILIES[name]()
    explainer = GradCAM(network, image_size=IMAGE_SIZE)
    units = units_below(network, explainer.layer_names, image_size=IMAGE_SIZE)
    seen: list[str] = []
    handles = [
        network.get_submodule(unit).register_forward_hook(lambda *_, unit=unit: seen.append(unit))
        for unit in units
    ]
    target = network.get_submodule(explainer.layer_names[0])
    handles.append(target.register_forward_hook(lambda *_: seen.append("target")))
    with torch.no_grad():
        network(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    for handle in handles:
        handle.remove()
    assert seen == [*units, "target"]
    assert not [u for u in units for other in units if u.startswith(other + ".")]
    assert all(list(network.get_submodule(unit).children()) for unit in units)


def test_a_compiled_run_is_the_eager_one(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With features from the cache below, and the last stage compiled; a smaller last batch."""
    compiled: list[str] = []

    def compile_by_aot(*given: Any, **more: Any) -> list[str]:
        compiled.extend(compile_trunk(*given, **more, backend="aot_eager"))
        return compiled

    monkeypatch.setattr("lookright.engine.trainer.compile_trunk", compile_by_aot)
    changes = {"train": "last-stage", "batch_size": 16}
    eager = train(options(out=tmp_path / "eager", **changes))
    assert not compiled
    assert_same_run(eager, train(options(out=tmp_path / "compiled", compile=True, **changes)))
    assert compiled == ["features.2"]
