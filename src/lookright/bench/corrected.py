"""How long one waits for the first new map after *Correct* is pressed on the page of `lookright annotate`."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lookright.annotate.correct import Corrections
from lookright.annotate.look import open_looking
from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import POSITIVE, encode_marks, unmarked
from lookright.annotate.retraining import PROTOCOL
from lookright.bench.correction import accelerator_of, has_weights
from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import take_turns
from lookright.config import TrainConfig
from lookright.engine.environment import environment_variable
from lookright.engine.features import FeatureStore
from lookright.engine.train import train
from lookright.errors import LookrightError

FIRST_MAP = Target(30, at_most=True, unit="s")
"""100 photos, two CPU cores."""

SIZE = (640, 480)
"""Width and height of the photos."""

_PAUSE = 0.7
"""Seconds after which the page asks again how far a correction is (annotate/page/correct.js)."""

_OTHERS = {"val": 0.2, "test": 0.4}
"""split -> photos in it, as a share of those that are trained on"""


def write_marked_photos(folder: Path, count: int) -> Path:
    """Write noise in two classes; of the training photos one person has marked the middle.

    Args:
        folder: to be made
        count: training photos

    Returns:
        the folder
    """
    generator = np.random.default_rng(0)
    width, height = SIZE
    marks = unmarked(SIZE)
    marks[height // 4 : -height // 4, width // 4 : -width // 4] = POSITIVE
    mask = encode_marks(marks)
    lines = ["file,class,split"]
    sizes = {"train": count} | {split: max(2, round(share * count)) for split, share in _OTHERS.items()}
    for split, size in sizes.items():
        for i in range(size):
            name = f"{'ab'[i % 2]}/{split}-{i:03}"
            photo = folder / "images" / f"{name}.jpg"
            photo.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(photo)
            lines.append(f"images/{name}.jpg,{'ab'[i % 2]},{split}")
            if split == "train":
                target = folder / "annotators" / "anna" / "signed" / f"{name}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(mask)
    (folder / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def seconds_to_first_map(data: Path, run: Path, device: torch.device, since_marked: float = 0.0) -> float:
    """Correct a run and ask for the first photo's new map, as often as the page does; the map is decoded.

    As on the page, something was marked a while ago. What the browser takes to ask, and to paint the map, is
    not in it.

    Args:
        data: photos with marks of anna
        run: the old model
        device: where to train
        since_marked: seconds from the last mark to the button

    Raises:
        LookrightError: the correction failed.
    """
    project = open_project(data, annotator="anna")
    with tempfile.TemporaryDirectory() as runs:
        looking = open_looking(str(run), project.images, device=device.type)
        corrections = Corrections(project, looking, runs=Path(runs), device=device.type, ahead=True)
        try:
            corrections.prepare()
            time.sleep(since_marked)
            started = time.perf_counter()
            corrections.start()
            while corrections.run is None:
                if (told := corrections.told())["state"] != "running":
                    raise LookrightError(f"the correction failed: {told['error']}")
                time.sleep(_PAUSE)
            layer = corrections.looking(corrections.run).map(0, SIZE)
            Image.open(io.BytesIO(layer)).load()
            return time.perf_counter() - started
        finally:
            corrections.close()
            project.close()


def corrected_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure it with nothing in the cache of features, and with those of an earlier correction.

    Args:
        settings: network, images
        device: where to train
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_marked_photos(folder / "data", settings.correction_images)
        old = TrainConfig(
            data=data,
            out=folder / "old",
            method="baseline",
            backbone=settings.correction_backbone,
            weights="bundled" if has_weights(settings) else "none",
            image_size=settings.image_size,
            accelerator=accelerator_of(device),
            epochs=settings.corrected_epochs,
            lr=PROTOCOL["lr"],
        )
        train(old, store=FeatureStore())

        def wait(cache: str) -> float:
            with environment_variable("LOOKRIGHT_CACHE", cache):
                return seconds_to_first_map(data, folder / "old", device, settings.since_marked)

        def first() -> float:
            with tempfile.TemporaryDirectory() as cache:
                return wait(cache)

        def again() -> float:
            return wait(str(folder / "cache"))

        rounds = settings.few_rounds
        once = take_turns({"wait": first}, rounds, "annotate", warm_up=False)
        twice = take_turns({"wait": again}, rounds, "annotate, again", warm_up=True)
    what = f"*Correct* pressed, {settings.correction_images} marked photos, to the first new map"
    target = FIRST_MAP if device.type == "cpu" else None
    yield Figure(what, settings.correction_backbone, "s", once, target=target)
    yield Figure(f"{what}, features already there", settings.correction_backbone, "s", twice)
