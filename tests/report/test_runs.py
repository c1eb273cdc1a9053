import json
import math
from pathlib import Path

import pytest
from synthetic_runs import Workshop, edit_json

from lookright.errors import LookrightError
from lookright.metrics import Cell
from lookright.report.runs import read_run, read_runs


def test_a_run_is_read_whole(six_methods: list[Path]) -> None:
    run = read_run(six_methods[0])
    assert (run.config.method, run.config.seed, run.classes) == ("baseline", 0, ["cat", "dog"])
    assert run.finished
    assert run.seconds == 41.5
    assert run.evaluation.split == "test"
    assert list(run.other_evaluations) == ["test_decoy"]
    stored = json.loads((run.folder / "evaluation" / "metrics.json").read_text())
    assert run.evaluation.figures["iou"].value == stored["iou"]["value"]
    assert len(run.evaluation.results) == len(run.evaluation.explanations) == stored["about"]["images"] == 40
    assert run.log["val_accuracy"].shape == (12,)
    assert all(math.isnan(value) for value in run.log["explanation_loss"])


def test_cells_agree_with_metrics_json(six_methods: list[Path]) -> None:
    run = read_run(six_methods[3])
    stored = json.loads((run.folder / "evaluation" / "metrics.json").read_text())["reasonability_matrix"]
    cells = [result.cell for result in run.evaluation.results.values()]
    assert {cell.value: cells.count(cell) for cell in Cell} == {name: c["n"] for name, c in stored.items()}


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(LookrightError, match="not a run folder"):
        read_run(tmp_path)
    with pytest.raises(LookrightError, match="no such folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(LookrightError, match="no run folder given"):
        read_runs([])


def test_a_run_that_was_not_evaluated(workshop: Workshop) -> None:
    run = workshop.make_run("a", "baseline", 0)
    (run / "evaluation" / "metrics.json").unlink()
    with pytest.raises(LookrightError, match=f"lookright evaluate {run}"):
        read_run(run)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", "method: [unclosed"),
        ("run.json", '{"status": '),
        ("run.json", "{}"),
        ("log.csv", "epoch,loss\n0,high\n"),
        ("evaluation/metrics.json", "[]"),
        ("evaluation/metrics.json", '{"accuracy": {"value": "high", "n": 1}}'),
        ("evaluation/metrics.json", "not json"),
        ("evaluation/per_image.csv", "id,file\na,b\n"),
        ("evaluation/per_image.csv", ""),
        ("evaluation/explanations.npz", "not an archive"),
    ],
)
def test_damaged_files_are_named(workshop: Workshop, file: str, content: str) -> None:
    run = workshop.make_run("a", "baseline", 0)
    (run / file).write_text(content)
    with pytest.raises(LookrightError, match=Path(file).name):
        _ = read_run(run).evaluation.results, read_run(run).evaluation.explanations


def test_a_run_without_log_is_read(workshop: Workshop) -> None:
    run = workshop.make_run("a", "baseline", 0)
    (run / "log.csv").unlink()
    assert read_run(run).log == {}


def test_runs_that_cannot_be_compared(workshop: Workshop, tmp_path: Path) -> None:
    run = workshop.make_run("a", "baseline", 0)
    other_split = workshop.make_run("b", "res-g", 0, split="val")
    other_classes = workshop.make_run("c", "res-g", 0)
    edit_json(other_classes / "run.json", classes=["cat", "bird"])
    elsewhere = Workshop(tmp_path / "elsewhere", per_class=3)
    elsewhere.make_data()
    other_images = elsewhere.make_run("d", "res-g", 0)
    for other, message in (
        (other_split, "split 'test', the other on 'val'"),
        (other_classes, "classes differ"),
        (other_images, "different images"),
        (run, "given twice"),
    ):
        with pytest.raises(LookrightError, match=message):
            read_runs([run, other])
