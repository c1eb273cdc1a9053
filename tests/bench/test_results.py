"""The table says what was measured, what was missed, and what could not be measured."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lookright.bench.results import Figure, Target, describe_machine, format_table, write_results
from lookright.bench.settings import QUICK, Settings
from lookright.errors import DataError

AT_MOST = Target(1.05, at_most=True)
FIGURES = [
    Figure(
        "a / b, time", "resnet18", "s", {"a": [3.0, 2.0, 10.0], "b": [1.0, 2.0, 4.0]}, ("a", "b"), AT_MOST
    ),
    Figure("a / b, memory", "resnet18", "MiB", {}, ("a", "b"), AT_MOST),
    Figure("b / a, speed", "resnet18", "images/s", {"a": [2.0], "b": [7.0]}, ("b", "a"), Target(3, False)),
    Figure("threshold", "100 cells", "ms", {"ours": [0.25]}),
]
MACHINE = describe_machine(torch.device("cpu"))


def test_a_ratio_is_taken_round_by_round() -> None:
    # 3, 1 and 2.5; the ratio of the two medians would be 1.5
    assert FIGURES[0].spread == pytest.approx((1.75, 2.5, 2.75))


def test_the_table_marks_what_missed() -> None:
    rows = format_table(FIGURES, MACHINE, asdict(Settings())).splitlines()[4:8]
    assert rows == [
        "| a / b, time | resnet18 | 2.5 (1.75 to 2.75) | 3 | 3 / 2 s | ≤ 1.05 | **missed** |",
        "| a / b, memory | resnet18 | not measured here | 0 |  | ≤ 1.05 |  |",
        "| b / a, speed | resnet18 | 3.5 (3.5 to 3.5) | 1 | 7 / 2 images/s | ≥ 3 | met |",
        "| threshold | 100 cells | 0.25 ms (0.25 to 0.25) | 1 |  |  |  |",
    ]


def test_the_table_says_batch_machine_and_trial() -> None:
    table = format_table(FIGURES, MACHINE, asdict(Settings(batch_sizes=(12, 24))))
    assert table.startswith("Batches of 12 or 24 images of 224 x 224 pixels, training in 32 bit.")
    assert f"on {MACHINE['cpu']}, {MACHINE['cores']} core(s), device cpu" in table
    assert "trial" not in table
    assert "its figures say nothing" in format_table(FIGURES, MACHINE, asdict(QUICK))


def test_the_json_holds_every_round(tmp_path: Path) -> None:
    table = write_results(tmp_path / "new", FIGURES, MACHINE, asdict(Settings()))
    assert (tmp_path / "new" / "bench.md").read_text(encoding="utf-8") == table
    whole = json.loads((tmp_path / "new" / "bench.json").read_text(encoding="utf-8"))
    assert whole["figures"][0]["measurements"] == {"a": [3.0, 2.0, 10.0], "b": [1.0, 2.0, 4.0]}
    assert whole["figures"][0]["figure"]["median"] == 2.5
    assert [figure["met"] for figure in whole["figures"]] == [False, None, True, None]
    assert whole["settings"]["backbones"] == ["resnet18", "resnet50", "tf_efficientnet_lite0"]
    assert {"cpu", "cores", "torch", "threads", "device", "date"} <= whole["machine"].keys()


def test_what_was_measured_before_a_stop_is_kept(tmp_path: Path) -> None:
    written = {"bench.json", "bench.md"}
    write_results(tmp_path, FIGURES, MACHINE, asdict(Settings()))
    before = (tmp_path / "bench.md").read_text()
    write_results(tmp_path, FIGURES[:1], MACHINE, asdict(Settings()), finished=False)
    assert {file.name for file in tmp_path.iterdir()} == written | {"unfinished.json", "unfinished.md"}
    assert (tmp_path / "bench.md").read_text() == before
    write_results(tmp_path, FIGURES, MACHINE, asdict(Settings()))
    assert {file.name for file in tmp_path.iterdir()} == written


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file"):
        write_results(tmp_path / "file", FIGURES, MACHINE, asdict(Settings()))
