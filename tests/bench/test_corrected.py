"""What is timed is a correction of photos that one person has marked, with nothing in the cache."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookright.annotate.open_project import open_project
from lookright.annotate.store import MARKED
from lookright.bench.corrected import SIZE, corrected_figures, seconds_to_first_map, write_marked_photos
from lookright.bench.settings import QUICK
from lookright.errors import LookrightError

CPU = torch.device("cpu")


def test_the_training_photos_are_marked_in_the_middle(tmp_path: Path) -> None:
    project = open_project(write_marked_photos(tmp_path / "data", 10), annotator="anna")
    try:
        status = {item.id: project.layer.status(item.id) == MARKED for item in project.items}
        assert [item.split for item in project.items if status[item.id]] == ["train"] * 10
        assert (
            sorted(item.split for item in project.items if not status[item.id]) == ["test"] * 4 + ["val"] * 2
        )
        index = next(i for i, item in enumerate(project.items) if status[item.id])
        assert Image.open(project.items[index].path).size == SIZE
        rows, columns = np.nonzero(project.marks(index) == 255)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (120, 359, 160, 479)
    finally:
        project.close()


def test_a_later_correction_finds_the_cache_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = []

    def wait(data: Path, run: Path, device: torch.device, since_marked: float) -> float:
        cache = Path(os.environ["LOOKRIGHT_CACHE"])
        caches.append((cache, list(cache.glob("*")), (run / "run.json").exists()))
        cache.mkdir(exist_ok=True)
        (cache / "something").touch()
        return 2.0

    monkeypatch.setenv("LOOKRIGHT_CACHE", "mine")
    monkeypatch.setattr("lookright.bench.corrected.seconds_to_first_map", wait)
    first, again = corrected_figures(QUICK, CPU)
    assert first.measurements == again.measurements == {"wait": [2.0] * QUICK.few_rounds}
    assert all(trained for _, _, trained in caches)
    firsts, warm_up, *agains = (
        (cache, [file.name for file in found]) for cache, found, _ in caches[QUICK.few_rounds - 1 :]
    )
    assert [found for _, found, _ in caches[: QUICK.few_rounds]] == [[]] * QUICK.few_rounds
    assert firsts[0] != warm_up[0]
    assert warm_up[1] == []
    assert agains == [(warm_up[0], ["something"])] * QUICK.few_rounds
    assert os.environ["LOOKRIGHT_CACHE"] == "mine"


def test_a_correction_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("lookright.annotate.commands.Commands.run", fail)
    monkeypatch.setattr("lookright.bench.corrected.open_looking", lambda *_, **__: None)
    data = write_marked_photos(tmp_path / "data", 4)
    with pytest.raises(LookrightError, match="the correction failed: no room"):
        seconds_to_first_map(data, tmp_path / "run", CPU)
