"""A group is true where its evidence lies on the markers; the table counts what was found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lookright.config import TrainConfig
from lookright.data import write_decoy_digits

Example = Callable[[str], ModuleType]


def test_groups_are_true_by_their_evidence_on_the_markers(example: Example, tmp_path: Path) -> None:
    files = []
    for row in range(4):
        for kind in ("images", "negatives"):
            file = tmp_path / kind / "cat" / f"{row}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((16, 16), dtype=np.uint8)
            pixels[:4, :4] = 255  # the marker: a sixteenth of the image
            Image.fromarray(pixels).save(file)
        files.append(tmp_path / "images" / "cat" / f"{row}.png")
    maps = torch.zeros(4, 4, 4)
    maps[:2, 0, 0] = 1
    maps[2:, 3, 3] = 1
    clusters = [
        SimpleNamespace(rows=(2,), size=1, is_suspected=True),
        SimpleNamespace(rows=(0, 1), size=2, is_suspected=True),
        SimpleNamespace(rows=(3,), size=1, is_suspected=False),
    ]

    class Looks(SimpleNamespace):
        def __len__(self) -> int:
            return 4

    found = SimpleNamespace(
        looks=Looks(explanation=maps, file=files), clusters=clusters, suspected=clusters[:2], accuracy=0.75
    )
    find_shortcuts = example("find_shortcuts")
    outcome = find_shortcuts.judge(found, tmp_path, has_shortcut=True)
    assert (outcome.clusters, outcome.suspected, outcome.true, outcome.found) == (3, 2, 1, 1)
    assert (outcome.rank, outcome.false_alarms, outcome.images) == (2, 1, 0.75)
    outcome = find_shortcuts.judge(found, tmp_path, has_shortcut=False)
    assert (outcome.true, outcome.rank, outcome.false_alarms) == (0, None, 2)


def test_the_table_is_means_over_seeds(example: Example) -> None:
    find_shortcuts = example("find_shortcuts")
    one = find_shortcuts.Outcome(0.9, clusters=4, suspected=3, true=2, found=2, rank=1, images=0.5)
    other = replace(one, accuracy=0.8, suspected=1, found=1, rank=3)
    none = replace(one, suspected=0, true=0, found=0, rank=None)
    lines = find_shortcuts.table({"with": [one, other], "without": [none]}).splitlines()[2:]
    assert lines == [
        "| with | 2 | 0.85 | 4.0 | 2.0 | 2 (worst 3) | 75 % | 0.5 | 1 |",
        "| without | 1 | 0.90 | 4.0 | 0.0 | – | – | 0.0 | 0 |",
    ]


def test_one_seed_from_training_to_the_table(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_shortcuts = example("find_shortcuts")

    def few(folder: Path, **options: object) -> Path:
        few_of_each = {f"per_class_{split}": 3 for split in ("train", "val", "test")}
        return write_decoy_digits(folder, **{**options, **few_of_each})

    monkeypatch.setattr(find_shortcuts, "write_decoy_digits", few)
    options = TrainConfig(
        backbone="small_cnn", weights="none", train="all", image_size=32, epochs=1, method="baseline"
    )
    cases = (
        find_shortcuts.Case("with", find_shortcuts.digits, options, True),
        find_shortcuts.Case("without", find_shortcuts.clean_digits, options, False),
    )
    out, table = tmp_path / "out", tmp_path / "table.md"
    words = ["find_shortcuts.py", str(tmp_path), "--out", str(out), "--table", str(table), "--seeds", "1"]
    monkeypatch.setattr("sys.argv", words)
    find_shortcuts.main(cases)
    told = table.read_text(encoding="utf-8")
    assert "--seeds 1" in told
    assert [line.split(" | ")[:2] for line in told.splitlines()[-2:]] == [["| with", "1"], ["| without", "1"]]
    masks = list(out.glob("data/clean-0/negatives/**/*.png"))
    assert masks
    assert not any(np.asarray(Image.open(mask)).any() for mask in masks)
    monkeypatch.setattr(find_shortcuts, "train", None)
    find_shortcuts.main(cases)
    assert table.read_text(encoding="utf-8") == told, "read, not run again"
