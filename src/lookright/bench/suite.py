"""Every claim about speed, each measured in turns with what it is compared to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import torch

from lookright.bench.compiled import compiled_figures
from lookright.bench.corrected import corrected_figures
from lookright.bench.correction import correction_figures
from lookright.bench.evaluation import measure_evaluation, write_photos
from lookright.bench.input_gradients import input_gradient_figures
from lookright.bench.loading import loading_figures
from lookright.bench.many import many_figures
from lookright.bench.maps import map_figures
from lookright.bench.memory import can_measure, peak_bytes
from lookright.bench.results import Figure, Target
from lookright.bench.served import served_figures
from lookright.bench.settings import MILLION, Settings
from lookright.bench.start_up import start_up_figures
from lookright.bench.steps import Subject, Variant, make_step
from lookright.bench.threshold import measure_threshold
from lookright.bench.timing import Measurements, take_turns, timed
from lookright.models import Layout

MEBIBYTE = 1 << 20

AS_QUICK = Target(1.03, at_most=True)
"""A supervised step beside a plain one, in time."""
RECOMMENDED = Target(1.1, at_most=True)
"""The same with the recommended method."""
NO_LARGER = Target(1.05, at_most=True)
"""The same in memory."""
PUBLISHED = Target(3.5, at_most=False)
"""The published structure beside ours, on a CPU."""
PUBLISHED_ON_GPU = Target(8, at_most=False)
"""The same on a GPU, where it uses a fraction of it."""
CAPTUM = Target(1.8, at_most=False)
"""A step on captum's maps beside ours."""
HALF_A_SECOND = Target(500, at_most=True, unit="ms")
"""The threshold of a million cells."""
NEARLY_AS_FAST = Target(0.9, at_most=False)
"""Evaluation beside plain inference."""

OUT_OF_MEMORY = "not measured: out of memory"

Section = Callable[[Settings, torch.device], Iterator[Figure]]


def measure(settings: Settings, device: torch.device, only: Collection[str] = ()) -> Iterator[Figure]:
    """Measure one figure after the other.

    Args:
        settings: what, and how often
        device: where networks and solver run
        only: sections, by their names in `SECTIONS`; all of them if empty

    Raises:
        ConfigError: a backbone that does not exist or cannot take the images.
        LookrightError: a process that measures memory failed.
    """
    for name, section in SECTIONS.items():
        if name in only or not only:
            yield from section(settings, device)


def step_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """A supervised step beside a plain one: time, and images per second."""
    for backbone in settings.backbones:
        for size in settings.batch_sizes:
            variants = (Variant.SUPERVISED, Variant.PLAIN)
            seconds = _seconds(settings, backbone, device, variants, settings.rounds, size)
            of = _of(settings, backbone, size)
            over = ("supervised", "plain")
            what = "supervised step / plain step, time"
            yield Figure(what, of, "s", seconds, over=over, target=AS_QUICK, otherwise=OUT_OF_MEMORY)
            rates = {name: [size / each for each in values] for name, values in seconds.items()}
            what = "supervised step / plain step, speed"
            yield Figure(what, of, "images/s", rates, over=over, otherwise=OUT_OF_MEMORY)


def recommended_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """A step of the recommended method beside a plain one: two losses on two maps."""
    size = settings.batch_sizes[0]
    for backbone in settings.backbones:
        subject = settings.subject(backbone, device, size, method="auto")
        variants = (Variant.SUPERVISED, Variant.PLAIN)
        yield Figure(
            "step of auto / plain step, time",
            _of(settings, backbone, size),
            "s",
            _time(subject, backbone, variants, settings.rounds),
            over=("supervised", "plain"),
            target=RECOMMENDED,
            otherwise=OUT_OF_MEMORY,
        )


def memory_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """A supervised step beside a plain one: peak memory."""
    for backbone in settings.backbones:
        for size in settings.batch_sizes:
            yield Figure(
                "supervised step / plain step, peak memory",
                _of(settings, backbone, size),
                "MiB",
                _mebibytes(settings, backbone, device, size) if can_measure(device) else {},
                over=("supervised", "plain"),
                target=NO_LARGER,
            )


def published_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """The published structure beside a supervised step."""
    size = settings.batch_sizes[0]
    for backbone in settings.backbones:
        variants = (Variant.PUBLISHED, Variant.SUPERVISED)
        yield Figure(
            "published structure / supervised step, time",
            _of(settings, backbone, size),
            "s",
            _seconds(settings, backbone, device, variants, settings.few_rounds, size),
            over=("published", "supervised"),
            target=PUBLISHED if device.type == "cpu" else PUBLISHED_ON_GPU,
            otherwise=OUT_OF_MEMORY,
        )


def captum_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """A step on captum's maps beside a supervised one."""
    size = settings.batch_sizes[0]
    for backbone in settings.backbones:
        variants = (Variant.CAPTUM, Variant.SUPERVISED)
        subject = settings.subject(backbone, device, size)
        has_maps = subject.explainer.layer.layout is Layout.CHANNELS_FIRST
        seconds = _time(subject, backbone, variants, settings.few_rounds) if has_maps else {}
        yield Figure(
            "step with captum's LayerGradCam / supervised step, time",
            _of(settings, backbone, size),
            "s",
            seconds,
            over=("captum", "supervised"),
            target=CAPTUM,
            otherwise=OUT_OF_MEMORY if has_maps else "not measured: captum has no Grad-CAM of tokens",
        )


def evaluation_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Evaluation beside plain inference."""
    with tempfile.TemporaryDirectory() as folder:
        items = write_photos(Path(folder), count=settings.images, image_size=settings.image_size)
        for backbone in settings.backbones:
            rates = measure_evaluation(
                backbone,
                items,
                batch_size=settings.batch_sizes[0],
                image_size=settings.image_size,
                rounds=settings.rounds,
                device=device,
            )
            yield Figure(
                "evaluation / plain inference, speed",
                backbone,
                "images/s",
                rates,
                over=("evaluation", "plain"),
                target=NEARLY_AS_FAST,
            )


def threshold_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """The adaptive threshold by number of cells, and beside a loop over candidates."""
    against_loop = []
    for n in settings.cells:
        cells = f"{n:,} cells"
        seconds = measure_threshold(n, settings.rounds, device, with_loop=n in settings.loop_cells)
        milliseconds = {name: [1000 * s for s in values] for name, values in seconds.items()}
        ours = {"ours": milliseconds["ours"]}
        target = HALF_A_SECOND if n == MILLION else None
        yield Figure("adaptive threshold", cells, "ms", ours, target=target)
        if n in settings.loop_cells:
            what = "loop over candidates / adaptive threshold, time"
            against_loop.append(Figure(what, cells, "ms", milliseconds, over=("loop", "ours")))
    yield from against_loop


def gpu_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """What a GPU would show, where there is none: all other figures are on it, where there is one."""
    if device.type != "cpu":
        return
    if torch.cuda.is_available():
        why = "not measured in this run: --device cuda does"
    else:
        why = "not measured: no GPU was at hand"
    over = ("supervised", "plain")
    for what, target in (
        ("supervised step / plain step, time", AS_QUICK),
        ("supervised step / plain step, speed", None),
        ("supervised step / plain step, peak memory", NO_LARGER),
        ("published structure / supervised step, time", PUBLISHED_ON_GPU),
    ):
        sizes = "64" if target is PUBLISHED_ON_GPU else "64 to 512"
        for backbone in ("resnet50", "vit_small_patch16_224"):
            of = f"{backbone}, on a GPU, bf16, {sizes} images"
            yield Figure(what, of, "", {}, over=over, target=target, otherwise=why)


def _needing(package: str, section: Section) -> Section:
    """Leave a section out, and say so, where the package that it compares with is not installed."""

    def figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
        if find_spec(package):
            yield from section(settings, device)
        else:
            yield Figure(
                f"beside {package}",
                "all",
                "",
                {},
                otherwise=f"not measured: {package} is not installed (extra 'bench')",
            )

    return figures


def annotate_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """The page of `lookright annotate`: its start, and the wait for a correction."""
    yield from served_figures(settings)
    yield from corrected_figures(settings, device)


SECTIONS: Mapping[str, Section] = {
    "step": step_figures,
    "recommended": recommended_figures,
    "memory": memory_figures,
    "published": published_figures,
    "captum": _needing("captum", captum_figures),
    "input-gradients": input_gradient_figures,
    "compile": compiled_figures,
    "maps": _needing("captum", _needing("pytorch_grad_cam", map_figures)),
    "evaluation": evaluation_figures,
    "correction": correction_figures,
    "annotate": annotate_figures,
    "many": many_figures,
    "loading": loading_figures,
    "threshold": threshold_figures,
    "start-up": lambda settings, device: start_up_figures(settings),
    "gpu": gpu_figures,
}
"""name -> what it measures, in the order of the table"""


def _of(settings: Settings, backbone: str, size: int) -> str:
    """Name a network and what else tells rows apart."""
    several = [f"{size} images"] if len(settings.batch_sizes) > 1 else []
    precision = [settings.precision] if settings.precision != "32" else []
    return ", ".join([backbone, *precision, *several])


def _seconds(
    settings: Settings,
    backbone: str,
    device: torch.device,
    variants: tuple[Variant, ...],
    rounds: int,
    size: int,
) -> Measurements:
    return _time(settings.subject(backbone, device, size), backbone, variants, rounds)


def _time(subject: Subject, backbone: str, variants: tuple[Variant, ...], rounds: int) -> Measurements:
    """Time steps in turns; nothing, where a GPU's memory does not hold them."""
    steps = {variant.value: timed(make_step(subject, variant)) for variant in variants}
    try:
        return take_turns(steps, rounds, f"{backbone}, {' and '.join(steps)} step")
    except torch.OutOfMemoryError:
        return {}


def _mebibytes(settings: Settings, backbone: str, device: torch.device, size: int) -> Measurements:
    def peak(variant: Variant) -> float:
        return (
            peak_bytes(
                variant,
                backbone,
                batch_size=size,
                image_size=settings.image_size,
                device=device,
                precision=settings.precision,
            )
            / MEBIBYTE
        )

    variants = {
        Variant.PLAIN.value: lambda: peak(Variant.PLAIN),
        Variant.SUPERVISED.value: lambda: peak(Variant.SUPERVISED),
    }
    return take_turns(variants, settings.memory_rounds, f"{backbone}, memory", warm_up=False)
