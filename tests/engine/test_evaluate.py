"""What an evaluation writes, and what it refuses."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from lookright.config import DataConfig, TrainConfig
from lookright.data import ExplanationDataset, read_annotations, write_decoy_digits
from lookright.engine.checkpoint import load_checkpoint, save_checkpoint
from lookright.engine.evaluate import evaluate
from lookright.engine.inference import infer
from lookright.engine.run_data import make_dataset
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from lookright.metrics import PerImage
from lookright.types import Request, Target

FIGURES = (
    *("accuracy", "balanced_accuracy", "auroc", "iou", "precision", "recall", "f1", "epg", "pointing_game"),
    "worst_group_accuracy",
)
GROUPS = ("per_class_accuracy", "group_accuracy")


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / "metrics.json").read_text())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_image.csv").open() as file:
        return list(csv.DictReader(file))


def test_three_files_with_every_figure_and_its_number_of_images(finished: Path) -> None:
    folder = finished / "evaluation"
    assert sorted(file.name for file in folder.iterdir()) == [
        "explanations.npz",
        "metrics.json",
        "per_image.csv",
    ]
    found = metrics(folder)
    for figure in [found[name] for name in FIGURES] + [f for name in GROUPS for f in found[name].values()]:
        assert isinstance(figure["n"], int)
        assert figure["n"] > 0
        assert 0 <= figure["value"] <= 1
    assert found["about"]["split"] == "test"
    assert found["about"]["images"] == found["about"]["annotated"] == 20
    assert list(found["per_class_accuracy"]) == [str(digit) for digit in range(10)]


def test_figures_are_those_of_the_rows(finished: Path) -> None:
    """Against scikit-learn and plain means, out of per_image.csv."""
    found, table = metrics(finished / "evaluation"), rows(finished / "evaluation")
    label, predicted = [r["label"] for r in table], [r["predicted"] for r in table]
    assert found["accuracy"]["value"] == pytest.approx(
        np.mean([a == b for a, b in zip(label, predicted, strict=True)])
    )
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(label, predicted))
    for name in ("iou", "precision", "recall", "f1", "epg", "pointing_game"):
        values = [float(r[name]) for r in table if r[name]]
        assert found[name] == {"value": pytest.approx(np.mean(values)), "n": len(values)}
    for group in ("aligned", "conflicting"):
        inside = [r["label"] == r["predicted"] for r in table if r["group"] == group]
        assert found["group_accuracy"][group] == {"value": pytest.approx(np.mean(inside)), "n": len(inside)}
    worst = min(figure["value"] for figure in found["group_accuracy"].values())
    assert found["worst_group_accuracy"]["value"] == worst


def test_auroc_is_that_of_scikit_learn(finished: Path, digits: Path) -> None:
    run = open_run(finished)
    dataset = make_dataset(read_annotations(run.config).split("test"), run.classifier, run.config)
    result = infer(run.explainer, dataset)
    exact = result.probabilities.double()
    theirs = roc_auc_score(result.label, exact / exact.sum(1, keepdim=True), multi_class="ovr")
    assert metrics(finished / "evaluation")["auroc"]["value"] == pytest.approx(theirs, abs=1e-5)


def test_explanations_need_no_pickle_and_belong_to_the_rows(finished: Path) -> None:
    with np.load(finished / "evaluation" / "explanations.npz", allow_pickle=False) as file:
        ids, maps = file["id"], file["explanation"]
    assert ids.tolist() == [row["id"] for row in rows(finished / "evaluation")]
    assert maps.shape == (20, 8, 8)
    assert maps.dtype == np.float32


def test_rows_do_not_depend_on_the_batch(finished: Path, tmp_path: Path) -> None:
    run = open_run(finished)
    dataset = make_dataset(read_annotations(run.config).split("test"), run.classifier, run.config)
    whole, single = infer(run.explainer, dataset, batch_size=64), infer(run.explainer, dataset, batch_size=3)
    assert whole.id == single.id
    torch.testing.assert_close(whole.probabilities, single.probabilities, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.explanation, single.explanation, atol=1e-5, rtol=1e-4)
    for name, values in whole.localization.items():
        torch.testing.assert_close(values, single.localization[name], atol=1e-5, rtol=0, equal_nan=True)


def test_maps_are_of_the_predicted_class(finished: Path) -> None:
    run = open_run(finished)
    dataset = make_dataset(read_annotations(run.config).split("test"), run.classifier, run.config)
    result = infer(run.explainer, dataset)
    image = torch.stack([sample.image for sample in dataset])
    with torch.no_grad():
        logits, maps = run.explainer(image, None, Request(target=Target.PREDICTED))
    assert torch.equal(result.probabilities.argmax(1), logits.argmax(1))
    raw = result.explanation
    low, high = raw.amin((1, 2), keepdim=True), raw.amax((1, 2), keepdim=True)
    torch.testing.assert_close(
        (raw - low) / (high - low + 1e-6), next(iter(maps.values()))[:, 0], atol=1e-4, rtol=0
    )


def test_the_network_is_as_it_was(finished: Path) -> None:
    run = open_run(finished)
    dataset = make_dataset(read_annotations(run.config).split("test"), run.classifier, run.config)
    network = run.classifier.network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    infer(run.explainer, dataset)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, not yet evaluated."""
    copy = RunFolder(tmp_path / "copy")
    original = RunFolder(finished)
    for ours, theirs in ((copy.config_file, original.config_file), (copy.best, original.best)):
        ours.parent.mkdir(parents=True, exist_ok=True)
        ours.write_bytes(theirs.read_bytes())
    return copy.path


def test_another_split_has_a_folder_of_its_own(run: Path) -> None:
    folder = evaluate(run, split="test_decoy", device="cpu", progress=False)
    assert folder == run / "evaluation-test_decoy"
    assert metrics(folder)["about"]["split"] == "test_decoy"
    assert list(metrics(folder)["group_accuracy"]) == ["aligned"]
    assert not (run / "evaluation").exists()


def test_other_data_does_not_take_the_place_of_the_runs_own(run: Path, tmp_path: Path) -> None:
    data = write_decoy_digits(tmp_path / "d", per_class_train=1, per_class_val=1, per_class_test=1, seed=5)
    other = DataConfig(data=data)
    folder = evaluate(run, device="cpu", progress=False)
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(ConfigError, match=r"holds the evaluation of .*, split test; give another --out"):
        evaluate(run, data=other, device="cpu", progress=False)
    assert (folder / "metrics.json").read_bytes() == before
    assert evaluate(run, device="cpu", progress=False) == folder  # the same again may
    there = evaluate(run, data=other, out=tmp_path / "there", device="cpu", progress=False)
    assert there == tmp_path / "there"
    assert metrics(there)["about"]["data"] == str(data)
    assert metrics(there)["about"]["images"] == 10


@pytest.mark.parametrize("stops", ["per_image.csv", "explanations.npz"])
def test_an_evaluation_that_stops_half_way_does_not_read_as_whole(
    run: Path, stops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = evaluate(run, device="cpu", progress=False)
    with monkeypatch.context() as patch:
        where = (PerImage, "to_csv") if stops == "per_image.csv" else (np, "savez_compressed")
        patch.setattr(*where, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate(run, device="cpu", progress=False)
    assert not (folder / "metrics.json").exists()
    assert (evaluate(run, device="cpu", progress=False) / "metrics.json").is_file()


@pytest.mark.parametrize("name", ["classes", "target_layer"])
def test_a_checkpoint_without_a_fact_is_damaged(name: str, run: Path) -> None:
    best = RunFolder(run).best
    tensors, facts = load_checkpoint(best)
    save_checkpoint(best, tensors, {key: value for key, value in facts.items() if key != name})
    with pytest.raises(CheckpointError, match=rf"best\.safetensors: damaged \(does not say '{name}'\)"):
        evaluate(run, device="cpu", progress=False)


def test_a_folder_that_is_a_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"metrics\.json: cannot be replaced"):
        evaluate(run, out=tmp_path / "file", device="cpu", progress=False)


def test_other_data_goes_to_the_run_where_nothing_is_in_the_way(run: Path, tmp_path: Path) -> None:
    data = write_decoy_digits(tmp_path / "d", per_class_train=1, per_class_val=1, per_class_test=1, seed=5)
    folder = evaluate(run, data=DataConfig(data=data), device="cpu", progress=False)
    assert folder == run / "evaluation"
    assert metrics(folder)["about"]["data"] == str(data)


def test_annotations_without_their_photos(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data: missing"):
        evaluate(run, data=DataConfig(annotations=tmp_path, format="coco"), out=tmp_path / "there")


def test_without_groups_there_are_none(run: Path, tmp_path: Path) -> None:
    data = write_decoy_digits(tmp_path / "d", per_class_train=1, per_class_val=1, per_class_test=1)
    table = data / "split.csv"
    lines = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    folder = evaluate(run, data=DataConfig(data=data), out=tmp_path / "there", device="cpu", progress=False)
    assert "worst_group_accuracy" not in metrics(folder)


def test_fewer_classes_are_matched_by_name(run: Path, digits: Path, tmp_path: Path) -> None:
    for name in ("7", "2"):
        (tmp_path / "two" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "two" / "images" / name).symlink_to(digits / "images" / name)
    lines = [
        line
        for line in (digits / "split.csv").read_text().splitlines()
        if line.split(",")[1] in ("class", "7", "2")
    ]
    (tmp_path / "two" / "split.csv").write_text("\n".join(lines) + "\n")
    folder = evaluate(
        run, data=DataConfig(data=tmp_path / "two"), out=tmp_path / "there", device="cpu", progress=False
    )
    whole = evaluate(run, device="cpu", progress=False)
    expected = {r["id"].split("/")[-1]: r["predicted"] for r in rows(whole)}
    assert {r["label"] for r in rows(folder)} == {"7", "2"}
    assert {r["id"].split("/")[-1]: r["predicted"] for r in rows(folder)}.items() <= expected.items()


def test_a_class_that_the_run_does_not_know(run: Path, tmp_path: Path) -> None:
    data = write_decoy_digits(tmp_path / "d", per_class_train=1, per_class_val=1, per_class_test=1)
    (data / "images" / "3").rename(data / "images" / "three")
    table = data / "split.csv"
    table.write_text(table.read_text().replace("images/3/", "images/three/").replace(",3,", ",three,"))
    for kind in ("masks", "negatives"):
        (data / kind / "3").rename(data / kind / "three")
    with pytest.raises(DataError, match=r"the run knows the classes 0, 1, .*, not three"):
        evaluate(run, data=DataConfig(data=data), out=tmp_path / "there", device="cpu", progress=False)


def test_no_such_split(run: Path) -> None:
    with pytest.raises(
        DataError, match="no image is in split 'nothing'; the splits there are: train, val, test"
    ):
        evaluate(run, split="nothing", device="cpu", progress=False)


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        evaluate(tmp_path)


def test_evaluated_again_the_files_are_replaced(run: Path) -> None:
    folder = evaluate(run, device="cpu", progress=False)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert evaluate(run, device="cpu", progress=False) == folder
    assert all(file.stat().st_mtime_ns > before[file.name] for file in folder.iterdir())


def test_outputs_that_are_not_finite_are_said(finished: Path) -> None:
    run = open_run(finished)
    dataset: ExplanationDataset = make_dataset(
        read_annotations(run.config).split("test"), run.classifier, run.config
    )
    with torch.no_grad():
        run.classifier.network.head.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"the network's output is not finite for images/.*, \.\.\."):
        infer(run.explainer, dataset)


def test_a_run_without_validation_and_annotations(
    digits: Path, tmp_path: Path, options: Callable[..., TrainConfig]
) -> None:
    """Reasonability is left out, not guessed, where nobody annotated."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "images").symlink_to(digits / "images")
    (tmp_path / "bare" / "split.csv").write_text((digits / "split.csv").read_text())
    folder = train(options(data=tmp_path / "bare", method="baseline", epochs=1))
    found = metrics(evaluate(folder.path, device="cpu", progress=False))
    assert found["iou"] == {"value": None, "n": 0}
    assert found["accuracy"]["n"] == 20
