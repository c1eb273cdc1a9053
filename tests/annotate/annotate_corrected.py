"""What the tests of corrections share: photos in splits, marks on them, and a small run that is corrected."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from annotate_made import Page
from PIL import Image

from lookright.annotate.correct import Corrections
from lookright.annotate.look import open_looking
from lookright.annotate.open_project import open_project
from lookright.annotate.project import Project
from lookright.config import TrainConfig
from lookright.engine.train import train

SIDE = 32
SPLITS = ("train", "train", "train", "val", "test", "test")
PATIENCE = 300  # s; the machine may be busy


def write_split_photos(folder: Path) -> Path:
    """Six photos of each of two classes, bright on the left or on the right, and their splits."""
    random = np.random.default_rng(0)
    lines = ["file,class,split"]
    for name, part in (("left", np.s_[:, : SIDE // 2]), ("right", np.s_[:, SIDE // 2 :])):
        for number, split in enumerate(SPLITS):
            pixels = random.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
            pixels[part] += 150
            file = folder / f"images/{name}/{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
            lines.append(f"images/{name}/{number}.png,{name},{split}")
    (folder / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def train_small(data: Path, out: Path, epochs: int = 2, **options: Any) -> Path:
    """A run that has learned next to nothing, in a second."""
    train(
        TrainConfig(
            data=data,
            out=out,
            backbone="small_cnn",
            weights="none",
            train="all",
            method="baseline",
            image_size=SIDE,
            epochs=epochs,
            **options,
        )
    )
    return out


def mark(project: Project, indices: list[int], value: int = 255) -> None:
    """Mark the upper half of photos."""
    for index in indices:
        item = project.items[index]
        marks = np.full((SIDE, SIDE), 128, dtype=np.uint8)
        marks[: SIDE // 2] = value
        project.layer.put_marks(item.id, marks, project.layer.version(item.id))


@dataclass
class Correcting:
    """The API of a project with a run that can be corrected."""

    project: Project
    corrections: Corrections
    page: Page

    def post(self) -> Any:
        return self.page.http.post("/api/correct", headers={"X-Token": self.page.access.write_token})

    def delete(self) -> Any:
        return self.page.http.delete("/api/correct", headers={"X-Token": self.page.access.write_token})

    def told(self) -> Any:
        return self.page.get("correct")

    def wait(self, *states: str) -> Any:
        """What is told once it is in one of some states."""
        end = time.monotonic() + PATIENCE
        while (told := self.told())["state"] not in states:
            assert time.monotonic() < end, told
            time.sleep(0.05)
        return told


@contextmanager
def correcting(
    data: Path,
    run: Path | str | None,
    *,
    out: Path | None = None,
    annotator: str = "anna",
    model: Mapping[str, Any] | None = None,
    ahead: bool = False,
    **options: Any,
) -> Iterator[Correcting]:
    """Open a project beside a run, or a `model` by its name; options take the place of its own."""
    project = open_project(data, annotator=annotator, out=out)
    looking = None
    if run is not None:
        looking = open_looking(str(run), project.images, device="cpu", **(model or {}))
        looking.model = replace(looking.model, config=replace(looking.model.config, **options))
    corrections = Corrections(project, looking, device="cpu", ahead=ahead)
    page = Page(project, looking, corrections)
    try:
        yield Correcting(project, corrections, page)
    finally:
        corrections.close()
        project.close()
