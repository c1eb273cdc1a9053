"""A cell is `lookright train` and `lookright evaluate`, told in a row."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lookright.engine.evaluate import evaluate
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.evidence.cell import run_cells
from lookright.evidence.fill import features_key, fill_features
from lookright.evidence.grid import read_grid
from lookright.evidence.made import make_sets
from lookright.evidence.plan import PlannedRun, all_candidates
from lookright.evidence.shared import Shared
from lookright.evidence.table import FIXED
from lookright.metrics import PerImage
from lookright.models import create

Write = Callable[..., Path]
BASE = {"data": "digits", "backbone": "small_cnn", "image_size": 32, "epochs": 1, "accelerator": "cpu"}


def planned(file: Path, out: Path) -> list[PlannedRun]:
    grid = read_grid(file)
    make_sets(grid.prepare, out / "data")
    return list(all_candidates(grid))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of small_cnn, so that its frozen part does not depend on the seed."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    state = create("small_cnn", num_classes=10, weights="none", image_size=32).network.state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("head")}, file)
    return str(file)


@pytest.mark.parametrize("scope", ["all", "last-stage"])
def test_a_row_says_what_train_and_evaluate_say(
    scope: str, write: Write, weights: str, tmp_path: Path
) -> None:
    file = write(
        base=BASE | {"train": scope, "weights": weights},
        axes={"method": ["res-g"], "seed": [3]},
        baseline=None,
        keep_checkpoints=True,
    )
    (run,) = planned(file, tmp_path / "out")
    (row,) = run_cells([run], tmp_path / "out", Shared())
    assert row["status"] == "finished", row["error"]
    assert set(FIXED) <= set(row)
    assert (row["method"], row["seed"], row["stage"], row["device"]) == ("res-g", "3", "final", "cpu")
    assert json.loads(row["options"])["image_size"] == 32
    assert (row["train_images"], row["annotated_images"], row["test_images"]) == ("20", "20", "10")

    config = run.config(tmp_path / "other")
    (tmp_path / "other" / "data").mkdir(parents=True)
    (tmp_path / "other" / "data" / "digits").symlink_to(tmp_path / "out" / "data" / "digits")
    folder = train(config)
    for split, before in (("test", ""), ("val", "val_")):
        out = evaluate(folder.path, split=split, device="cpu", progress=False)
        figures = json.loads((out / "metrics.json").read_text())
        for name in ("accuracy", "worst_group_accuracy", "iou", "f1", "epg", "evidence_outside"):
            assert float(row[before + name]) == pytest.approx(figures[name]["value"], rel=1e-4), name
    with folder.log_file.open(newline="") as file:
        *_, last = csv.DictReader(file)
    facts = {name: float(value) for name, value in row.items() if name.startswith("fact_")}
    names = ("alpha", "disagreement", "imputation", "imputer_drift")
    assert facts == {f"fact_{name}": pytest.approx(float(last[name]), rel=1e-4) for name in names}
    ours = PerImage.from_csv(tmp_path / "out" / "images" / f"{run.name}.csv")
    theirs = PerImage.from_csv(folder.evaluation("test") / "per_image.csv")
    assert (ours.id, ours.predicted) == (theirs.id, theirs.predicted)
    assert (tmp_path / "out" / "runs" / run.name / "config.yaml").exists()


def test_a_run_that_fails_has_a_row_that_says_why(write: Write, tmp_path: Path) -> None:
    file = write(
        base=BASE | {"weights": "none", "lr": 1e30, "optimizer": "sgd", "schedule": "constant"},
        axes={"method": ["baseline"], "seed": [0]},
    )
    (run,) = planned(file, tmp_path)
    (row,) = run_cells([run], tmp_path, Shared())
    assert row["status"] == "failed"
    assert "not finite" in row["error"]
    assert not (tmp_path / "runs" / run.name).exists()
    assert row["fingerprint"] == run.fingerprint


def test_heads_learn_together_and_give_the_rows_of_heads_alone(
    write: Write, weights: str, tmp_path: Path
) -> None:
    base = BASE | {"train": "head", "weights": weights, "cache_gb": 0.0, "epochs": 2, "lr": 0.01}
    runs = planned(write(base=base, axes={"method": ["baseline", "res-g", "no.Such"], "seed": [0]}), tmp_path)
    shared = Shared()
    together = run_cells(runs, tmp_path, shared)
    alone = [run_cells([run], tmp_path, shared)[0] for run in runs]
    assert [row["status"] for row in together] == ["finished", "finished", "failed"]
    assert "no.Such" in together[2]["error"]
    for ours, theirs in zip(together[:2], alone[:2], strict=True):
        for name in ("accuracy", "iou", "val_auroc"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-3), name


def test_features_are_computed_once_for_all_seeds(
    write: Write, weights: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = BASE | {"train": "last-stage", "weights": weights, "train_per_class": 1}
    base["cache_dir"] = str(tmp_path / "cache")
    axes = {"method": ["baseline"], "slack": [0.0, 0.2]}
    configs = [run.config(tmp_path) for run in planned(write(base=base, axes=axes), tmp_path)]
    assert features_key(configs[0]) == features_key(configs[1]) is not None
    fill_features(configs, Shared())
    caplog.clear()
    with caplog.at_level("INFO", logger="lookright"):
        train(configs[0])
    assert "features: 30 of 30 images from the cache" in caplog.text  # 10, mirrored, and 10 of val


@pytest.mark.parametrize(
    "changes", [{"train": "all"}, {"weights": "none"}, {"cache_gb": 0.0}, {"cache_features": False}]
)
def test_some_runs_have_no_features_to_be_computed_before(
    changes: dict[str, object], write: Write, weights: str, tmp_path: Path
) -> None:
    base = BASE | {"train": "head", "weights": weights} | changes
    (run, _) = planned(write(base=base), tmp_path)
    assert features_key(run.config(tmp_path)) is None


def test_precision_rests_on_derived_negatives_where_asked(write: Write, tmp_path: Path) -> None:
    """With a margin of 0 every pixel is marked, so precision is that of two masks: |M and F| / |M|."""
    base = BASE | {"weights": "none"}
    rows = []
    for margin in (None, 0):
        file = write(base=base, axes={"method": ["baseline"], "seed": [0]}, precision_outside=margin)
        (run,) = planned(file, tmp_path)
        for marks in (tmp_path / "data" / "digits" / "negatives").rglob("*.png"):
            marks.unlink()
        rows += run_cells([run], tmp_path, Shared())
    plain, derived = rows
    assert "precision" not in plain
    assert 0 < float(derived["precision"]) < 1
    assert plain["iou"] == derived["iou"]


def test_faithfulness_is_measured_where_asked(write: Write, tmp_path: Path) -> None:
    file = write(axes={"method": ["baseline"], "seed": [0]}, faithfulness={"steps": 2, "images": 3})
    (run,) = planned(file, tmp_path)
    (row,) = run_cells([run], tmp_path, Shared())
    assert row["status"] == "finished", row["error"]
    assert 0 <= float(row["deletion_auc"]) <= 1
    assert 0 <= float(row["background_swap_accuracy"]) <= 1
    assert "val_deletion_auc" not in row


def test_sets_are_made_once_and_again_by_another_recipe(tmp_path: Path) -> None:
    recipe = {"set": "digits", "per_class_train": 1, "per_class_val": 1, "per_class_test": 10}
    marked = {"set": "decoy", "from": "digits", "seed": 1}
    tables = [tmp_path / name / "split.csv" for name in ("digits", "marked")]

    def made(**changes: int) -> list[int]:
        make_sets({"digits": recipe | changes, "marked": marked}, tmp_path)
        return [table.stat().st_mtime_ns for table in tables]

    first = made()
    assert made() == first
    again = made(per_class_train=2)
    assert again[0] > first[0]
    assert again[1] > first[1]  # it is made of the other
    lines = [len(table.read_text().splitlines()) for table in tables]
    assert lines == [1 + 10 * (2 + 1 + 10 + 10)] * 2


def test_shared_images_are_read_once(digits: Path, tmp_path: Path, write: Write) -> None:
    base = BASE | {"data": str(digits), "weights": "none"}
    run, _ = planned(write(base=base, keep_checkpoints=True, prepare={}), tmp_path)
    run_cells([run], tmp_path, Shared())
    trained, shared = open_run(tmp_path / "runs" / run.name), Shared()
    assert shared.images(trained, "test")[1] is shared.images(trained, "test")[1]
    assert shared.images(trained, "val")[1] is not shared.images(trained, "test")[1]
