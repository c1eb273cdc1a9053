"""Where the time of a training step goes: python -m lookright.bench.profile --out docs/profile.md"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from lookright.bench.results import describe_machine
from lookright.bench.steps import Subject, Variant, make_subject, plain_loss, supervised_loss
from lookright.bench.timing import synchronize
from lookright.engine.compiled import compile_trunk
from lookright.engine.run_images import pick_device
from lookright.errors import DataError, LookrightError

PHASES = (
    "forward, up to the target layer",
    "forward, above it",
    "map: gradient of the score at the target layer",
    "loss",
    "backward of the loss, and second order",
    "backward, above the target layer",
    "backward, below it",
    "optimizer",
)
"""Each ends where the next begins; a plain step has no map, and no second order."""
OPERATORS = 8

MARKER = "<!-- measured: what follows is written by python -m lookright.bench.profile -->"


class Marks:
    """When the phases of one step ended, in seconds since it began."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.backward = False
        self.at: dict[str, float] = {}
        self.started = self._now()

    def end(self, phase: str) -> None:
        """Note the end of a phase; the first time counts."""
        self.at.setdefault(phase, self._now())

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase; a phase that was not there ends where the one before did."""
        before, found = self.started, {}
        for phase in PHASES:
            end = max(before, self.at.get(phase, before))
            found[phase] = end - before
            before = end
        return found

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


@contextmanager
def _marking(subject: Subject, marks: Marks) -> Iterator[None]:
    """Hooks that note where one phase ends and the next begins; gone afterwards."""

    def forward(phase: str, backward: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            marks.end(phase)

            def arrived(gradient: Tensor) -> None:
                if marks.backward:  # not while the map is made
                    marks.end(backward)

            register: Callable[..., Any] = output.register_hook
            register(arrived)

        return hook

    network, layer = subject.network, subject.explainer.layer.module
    with ExitStack() as stack:
        for module, phase, backward in ((layer, PHASES[0], PHASES[5]), (network, PHASES[1], PHASES[4])):
            stack.callback(module.register_forward_hook(forward(phase, backward)).remove)
        objective = subject.supervised.objective
        stack.callback(objective.register_forward_pre_hook(lambda *_: marks.end(PHASES[2])).remove)
        yield


def measure_phases(subject: Subject, variant: Variant) -> dict[str, float]:
    """Take one step and give the seconds of each of its phases.

    Args:
        subject: network, optimizer and batch
        variant: a plain step or a supervised one

    Example:
        >>> subject = make_subject("small_cnn", batch_size=2, image_size=32, device=torch.device("cpu"))
        >>> seconds = measure_phases(subject, Variant.SUPERVISED)
        >>> tuple(seconds) == PHASES, min(seconds.values()) > 0
        (True, True)
    """
    marks = Marks(subject.batch.image.device)
    with _marking(subject, marks):
        loss = supervised_loss(subject) if variant is Variant.SUPERVISED else plain_loss(subject)
        marks.end(PHASES[3])
        marks.backward = True
        torch.autograd.backward(loss)
        marks.end(PHASES[6])
        subject.optimizer.step()
        subject.optimizer.zero_grad()
        marks.end(PHASES[7])
    return marks.seconds()


def profile_backbone(
    backbone: str, *, batch_size: int, image_size: int, rounds: int, device: torch.device, compiled: bool
) -> str:
    """Measure plain and supervised steps in turns, and lay the result out in Markdown.

    Args:
        backbone: see `lookright.models.create`
        batch_size: images in the batch
        image_size: H and W
        rounds: steps of each; one more of each comes first and does not count
        device: where the steps run
        compiled: compile what leads to the target layer, as `--compile` does

    Raises:
        ConfigError: the backbone does not exist, or cannot take images of that size.
    """
    subject = make_subject(backbone, batch_size=batch_size, image_size=image_size, device=device)
    units = compile_trunk(subject.network, [subject.explainer], image_size=image_size) if compiled else []
    variants = (Variant.PLAIN, Variant.SUPERVISED)
    taken: dict[Variant, list[dict[str, float]]] = {variant: [] for variant in variants}
    for i in tqdm(range(rounds + 1), desc=backbone, unit="round", leave=False, disable=None):
        for variant in variants if i % 2 else variants[::-1]:
            seconds = measure_phases(subject, variant)
            if i:
                taken[variant].append(seconds)
    lines = [
        f"## {backbone}{', compiled' if units else ''}",
        "",
        "| phase | plain step | supervised step |",
        "| --- | ---: | ---: |",
    ]
    totals = {v: statistics.median(sum(s.values()) for s in taken[v]) for v in variants}
    for phase in PHASES:
        cells = (_cell(statistics.median(s[phase] for s in taken[v]), totals[v]) for v in variants)
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    lines.append(f"| **step** | {' | '.join(f'**{1000 * totals[v]:.1f} ms**' for v in variants)} |")
    ratio = totals[Variant.SUPERVISED] / totals[Variant.PLAIN]
    lines += ["", f"Supervised / plain: {ratio:.3f}, of medians over {rounds} rounds.", ""]
    lines += [f"- {variant.value}: {_operators(subject, variant)}" for variant in variants]
    return "\n".join(lines) + "\n"


def _cell(seconds: float, total: float) -> str:
    return "–" if seconds < 1e-9 else f"{1000 * seconds:.1f} ({100 * seconds / total:.1f} %)"


def _operators(subject: Subject, variant: Variant) -> str:
    """The operators with the most time of their own in one step, and their share of it."""
    on_gpu = subject.batch.image.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        measure_phases(subject, variant)
    own = {
        event.key: float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)
        for event in profiled.key_averages()
    }
    total = sum(own.values()) or 1.0
    largest = sorted(own.items(), key=lambda item: -item[1])[:OPERATORS]
    return ", ".join(f"`{name}` {100 * time_spent / total:.0f} %" for name, time_spent in largest)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m lookright.bench.profile", description=__doc__)
    parser.add_argument("--out", type=Path, help="page to write below its marker (default: print)")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "tf_efficientnet_lite0"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--compile", action="store_true", help="compile what leads to the target layer")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the profile and write the page; exits with 2 on a user's mistake."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if min(options.batch_size, options.image_size, options.rounds) < 1:
        parser.error("--batch-size, --image-size and --rounds need 1 or more")
    try:
        measured = _measured(options)
        if options.out is None:
            sys.stdout.write(measured)
        else:
            _write(options.out, measured)
    except LookrightError as error:
        parser.error(str(error))


def _measured(options: argparse.Namespace) -> str:
    device = pick_device(options.device)
    side, size, rounds = options.image_size, options.batch_size, options.rounds
    tables = [
        profile_backbone(
            backbone, batch_size=size, image_size=side, rounds=rounds, device=device, compiled=options.compile
        )
        for backbone in options.backbones
    ]
    about = describe_machine(device)
    machine = ", ".join(f"{name} {value}" for name, value in about.items())
    load, cores = about["load"], about["cores"]
    is_busy = isinstance(load, float) and isinstance(cores, int) and load > 1.5 * cores
    busy = " **The machine was busy with other work: read shares, not milliseconds or ratios.**" * is_busy
    command = (
        f"python -m lookright.bench.profile --out docs/profile.md --backbones {' '.join(options.backbones)} "
        f"--batch-size {size} --image-size {side} --rounds {rounds}{' --compile' * options.compile}"
    )
    setting = f"Batches of {size} images of {side} x {side} pixels. Measured on: {machine}.{busy}"
    return "\n".join([f"{setting}\n\n```sh\n{command}\n```\n", *tables])


def _write(out: Path, measured: str) -> None:
    """Write below the marker; what somebody wrote above it stays."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        above = out.read_text(encoding="utf-8").partition(MARKER)[0] if out.is_file() else ""
        out.write_text(f"{above}{MARKER}\n\n{measured}", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


if __name__ == "__main__":
    main()
