"""Each phase of a step gets the time that is spent in it, and no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lookright.bench.profile import MARKER, PHASES, main, measure_phases
from lookright.bench.steps import Subject, Variant, make_subject

PAUSE = 0.05


class Clock:
    """Time passes where somebody sleeps, and nowhere else: however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()


class Slow(torch.autograd.Function):
    """Hand a tensor through, slowly: in the forward pass, or in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        ctx.backward_pause = backward
        CLOCK.sleep(forward)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        CLOCK.sleep(ctx.backward_pause)
        return gradient.clone(), None, None


@pytest.fixture
def subject() -> Subject:
    made = make_subject("small_cnn", batch_size=2, image_size=32, device=torch.device("cpu"))
    measure_phases(made, Variant.SUPERVISED)  # the first step allocates
    return made


def slow_module(name: str, forward: float, backward: float) -> Callable[[Subject], None]:
    def slow(subject: Subject) -> None:
        module = subject.network.get_submodule(name)
        module.register_forward_pre_hook(lambda _, args: Slow.apply(args[0], forward, backward))

    return slow


def slow_objective(subject: Subject) -> None:
    own = subject.supervised.objective.forward

    def slow(*args: Any) -> Any:
        CLOCK.sleep(PAUSE)
        return own(*args)

    subject.supervised.objective.forward = slow


def slow_optimizer(subject: Subject) -> None:
    subject.optimizer.register_step_pre_hook(lambda *_: CLOCK.sleep(PAUSE))


# What lies above the target layer is differentiated for the map as well.
SLOW = {
    "below, forward": (slow_module("features.1", PAUSE, 0), {PHASES[0]}),
    "below, backward": (slow_module("features.1", 0, PAUSE), {PHASES[6]}),
    "above, forward": (slow_module("head", PAUSE, 0), {PHASES[1]}),
    "above, backward": (slow_module("head", 0, PAUSE), {PHASES[2], PHASES[5]}),
    "objective": (slow_objective, {PHASES[3]}),
    "optimizer": (slow_optimizer, {PHASES[7]}),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_is_slow_is_found_where_it_is(
    subject: Subject, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, expected = SLOW[name]
    slow(subject)
    monkeypatch.setattr("lookright.bench.profile.time", CLOCK)
    seconds = measure_phases(subject, Variant.SUPERVISED)
    assert {phase for phase in PHASES if seconds[phase] > 0} == expected


def test_a_plain_step_has_no_map_and_leaves_no_hook(subject: Subject) -> None:
    seconds = measure_phases(subject, Variant.PLAIN)
    assert seconds[PHASES[2]] == 0
    assert all(value > 0 for phase, value in seconds.items() if phase != PHASES[2])
    modules = [*subject.network.modules(), subject.supervised.objective]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_the_page(tmp_path: Path) -> None:
    page = tmp_path / "profile.md"
    page.write_text(f"# By hand\n\n{MARKER}\n\nmeasured before\n", encoding="utf-8")
    sizes = ["--batch-size", "2", "--image-size", "32", "--rounds", "1", "--device", "cpu"]
    main(["--out", str(page), "--backbones", "small_cnn", *sizes])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# By hand\n\n{MARKER}\n\nBatches of 2 images")
    assert "measured before" not in text
    assert "## small_cnn" in text
    assert all(f"| {phase} |" in text for phase in PHASES)
    assert "`aten::" in text


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--rounds", "0"], ["--backbones", "resnet0"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "resnet0" in capsys.readouterr().err
