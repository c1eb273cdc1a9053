"""Synthetic runs with the real writers: a data folder, six methods, two seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lookright.config import TrainConfig
from lookright.engine.evaluate import write_evaluation
from lookright.engine.run_folder import RunFolder
from lookright.metrics import PerImage, localization, summarize

# method -> accuracy, how much of the explanation lies on the annotation, accuracy with the shortcut kept
METHODS: dict[str, tuple[float, float, float]] = {
    "baseline": (0.55, 0.15, 0.98),
    "gradia": (0.56, 0.75, 0.97),
    "haics": (0.70, 0.50, 0.95),
    "res-g": (0.80, 0.85, 0.90),
    "res-l": (0.78, 0.80, 0.92),
    "evidence": (0.92, 0.65, 0.93),
}
GRID = 7
SIDE = 96


@dataclass(frozen=True)
class Workshop:
    """Makes data and runs below a folder."""

    root: Path
    classes: tuple[str, ...] = ("cat", "dog")
    per_class: int = 20

    @property
    def data(self) -> Path:
        return self.root / "data"

    def make_data(self) -> None:
        rng = np.random.default_rng(0)
        for name in self.classes:
            for index in range(self.per_class):
                photo, mask = picture(rng)
                for kind, pixels in (("images", photo), ("masks", mask)):
                    folder = self.data / kind / name
                    folder.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(folder / f"{index:03}.png")

    def make_run(
        self,
        name: str,
        method: str,
        seed: int,
        *,
        split: str = "test",
        decoy: bool = False,
        annotated: bool = True,
        **options: object,
    ) -> Path:
        accuracy, share, kept = METHODS[method]
        folder = RunFolder(self.root / name)
        config = TrainConfig(
            data=self.data, out=folder.path, method=method, seed=seed, backbone="small_cnn", epochs=12
        )
        folder.create(replace(config, **options))
        rng = np.random.default_rng([seed, *name.encode()])
        folder.write_facts(facts(method, seed, self.classes))
        folder.write_log(log_rows(rng, accuracy, share))
        self.evaluate(folder.path / "evaluation", split, accuracy, share, rng, annotated)
        if decoy:
            self.evaluate(folder.path / "evaluation-test_decoy", "test_decoy", kept, share, rng, annotated)
        return folder.path

    def evaluate(
        self,
        folder: Path,
        split: str,
        accuracy: float,
        share: float,
        rng: np.random.Generator,
        annotated: bool,
    ) -> None:
        files = sorted((self.data / "images").rglob("*.png"))
        masks = [
            np.array(Image.open(self.data / "masks" / file.relative_to(self.data / "images")))
            for file in files
        ]
        labels = torch.tensor([self.classes.index(file.parent.name) for file in files])
        annotations = torch.from_numpy(np.stack(masks))[:, None].float() / 255
        maps = torch.from_numpy(np.stack([explanation(mask, share, rng) for mask in masks]))[:, None]
        right = round((accuracy + rng.uniform(-0.02, 0.02)) * len(files))
        wrong = torch.from_numpy(rng.permutation(len(files)) >= right)
        confidence = torch.from_numpy(rng.uniform(0.52, 0.99, len(files))).float()
        chosen = torch.where(wrong, (labels + 1) % len(self.classes), labels)
        rest = (1 - confidence) / (len(self.classes) - 1)
        probabilities = (
            rest[:, None].repeat(1, len(self.classes)).scatter(1, chosen[:, None], confidence[:, None])
        )
        known = torch.full((len(files),), annotated)
        rows = PerImage.of(
            ids=[file.relative_to(self.data).as_posix() for file in files],
            files=[str(file) for file in files],
            labels=labels,
            probabilities=probabilities,
            classes=self.classes,
            annotated=known,
            groups=[None] * len(files),
            localization=localization(maps, annotations, known),
        )
        figures = summarize(rows, probabilities, self.classes)
        figures["about"] = {"split": split, "data": str(self.data), "images": len(rows)}
        folder.mkdir(parents=True, exist_ok=True)
        write_evaluation(folder, figures, rows, rows.id, maps[:, 0].numpy())


def picture(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A disc on a gradient, and the mask of the disc."""
    y, x = np.mgrid[:SIDE, :SIDE]
    cx, cy, radius = rng.uniform(25, SIDE - 25), rng.uniform(25, SIDE - 25), rng.uniform(14, 24)
    disc = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
    ground = np.stack([x, y, SIDE - x], axis=-1) * rng.uniform(0.5, 2.0, 3) + rng.normal(
        60, 12, (SIDE, SIDE, 1)
    )
    photo = np.where(disc[..., None], rng.uniform(60, 250, 3), ground)
    return photo.clip(0, 255).astype(np.uint8), (disc * 255).astype(np.uint8)


def explanation(mask: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A map that lies on the mask, or in a corner, by chance."""
    small = np.array(Image.fromarray(mask).resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float32) / 255
    corner = np.zeros((GRID, GRID), dtype=np.float32)
    corner[-3:, -3:] = 1
    blend = small if rng.random() < share else corner
    return (blend + 0.15 * rng.random((GRID, GRID))).astype(np.float32)


def facts(method: str, seed: int, classes: Sequence[str]) -> dict[str, object]:
    return {
        "lookright": "0.1.0",
        "versions": {"python": "3.11.2", "torch": "2.14.1"},
        "command": f"lookright train data --method {method} --seed {seed} --out {method}-{seed}",
        "classes": list(classes),
        "status": "finished",
        "epochs_done": 12,
        "best_epoch": 9,
        "best_value": 0.8,
        "seconds": 41.5 + seed,
        "device": "cpu",
    }


def log_rows(rng: np.random.Generator, accuracy: float, share: float) -> list[dict[str, float | int | None]]:
    rise = 1 - np.exp(-np.arange(1, 13) / 3)
    noise = rng.normal(0, 0.015, (3, 12))
    return [
        {
            "epoch": epoch,
            "loss": 1.2 - 0.9 * rise[epoch] + noise[0, epoch],
            "explanation_loss": None,
            "val_accuracy": 0.5 + (accuracy - 0.5) * rise[epoch] + noise[1, epoch],
            "val_iou": 0.6 * share * rise[epoch] + abs(noise[2, epoch]),
            "seconds": 1.0,
        }
        for epoch in range(12)
    ]


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
