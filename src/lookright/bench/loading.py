"""Loading of images beside what a training step takes of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from lookright.bench.evaluation import write_photos
from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.steps import Variant, make_step, make_subject
from lookright.bench.timing import take_turns
from lookright.data import ExplanationDataset, Item, collate

NO_BOTTLENECK = Target(1, at_most=False)
"""Images loaded in the time in which one is learned from."""


def make_dataset(items: tuple[Item, ...], *, image_size: int, cache_bytes: int) -> ExplanationDataset:
    """Make a data set that mirrors, as training does.

    Args:
        items: of `write_photos`
        image_size: H and W
        cache_bytes: memory for decoded images
    """
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ExplanationDataset(
        items, image_size=image_size, mean=mean, std=std, flip=True, cache_bytes=cache_bytes
    )


def loading_rate(dataset: ExplanationDataset, batch_size: int) -> Callable[[], float]:
    """Make a variant for `take_turns` that loads an epoch in this process.

    Args:
        dataset: the images
        batch_size: how many at a time

    Returns:
        a function that gives images per second
    """

    def rate() -> float:
        started = time.perf_counter()
        for _ in DataLoader(dataset, batch_size=batch_size, collate_fn=collate):
            pass
        return len(dataset) / (time.perf_counter() - started)

    return rate


def loading_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure loading from memory, and with decoding, beside plain steps of each network.

    Photos are twice as wide as the images made of them.

    Args:
        settings: backbones, images, rounds
        device: where networks run
    """
    side, batch_size = settings.image_size, settings.batch_sizes[0]
    with tempfile.TemporaryDirectory() as folder:
        items = write_photos(Path(folder), count=settings.images, image_size=2 * side)
        loading = {
            "from memory": make_dataset(items, image_size=side, cache_bytes=1 << 30),
            "decoding": make_dataset(items, image_size=side, cache_bytes=0),
        }
        rates = {name: loading_rate(dataset, batch_size) for name, dataset in loading.items()}
        for backbone in settings.backbones:
            subject = make_subject(
                backbone,
                batch_size=batch_size,
                image_size=side,
                device=device,
                precision=settings.precision,
            )
            step = make_step(subject, Variant.PLAIN)

            def learning(step: Callable[[], None] = step) -> float:
                started = time.perf_counter()
                step()
                return batch_size / (time.perf_counter() - started)

            found = take_turns({**rates, "plain step": learning}, settings.few_rounds, f"{backbone}, loading")
            for name in loading:
                yield Figure(
                    f"loading, {name} / plain step, speed",
                    backbone,
                    "images/s",
                    {key: found[key] for key in (name, "plain step")},
                    over=(name, "plain step"),
                    target=NO_BOTTLENECK if name == "from memory" else None,
                )
