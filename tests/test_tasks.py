"""One class per image, several, or a number: from a data folder to a report, by what people type."""

import csv
import io
import json
import shlex
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor

from lookright import cli
from lookright.config import DataConfig, TrainConfig
from lookright.data import AnnotationSet, ExplanationDataset, collate, read_annotations
from lookright.engine.evaluate import evaluate
from lookright.engine.images import explain_images
from lookright.engine.measure import measure
from lookright.engine.run_folder import RunFolder
from lookright.engine.run_images import matching
from lookright.engine.setup import set_up
from lookright.engine.supervised import SupervisedModel
from lookright.engine.tasks import Output
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.errors import CheckpointError, ConfigError, DataError
from lookright.explainers import GradCAM
from lookright.losses import GRADIA, Objective, Term
from lookright.models import create
from lookright.types import Batch, Explained, Rows, Task
from shapes_data import write_four_classes, write_numbers, write_several_labels

SMALL = shlex.split(
    "--backbone small_cnn --weights none --train all --image-size 32 --epochs 30 --batch-size 6 --lr 0.01 "
    "--accelerator cpu --method gradia"
)


class Finished(NamedTuple):
    data: Path
    run: Path
    report: str
    markdown: str
    printed: str
    """of evaluate"""
    predictions: list[dict[str, str]]
    """of the test images"""


def finish(folder: Path, write: Callable[[Path], Path]) -> Finished:
    """Train, evaluate, report and predict, as typed."""
    data, run = write(folder / "data"), folder / "run"
    photos = sorted(item.path for item in read_annotations(DataConfig(data=data)).split("test").items)
    typed("train", data, "--out", run, *SMALL)
    printed = typed("evaluate", run, "--device", "cpu")
    typed("report", run, "--out", folder / "report.html", "--markdown", folder / "report.md")
    typed("predict", run, *photos, "--out", folder / "predictions.csv", "--device", "cpu")
    typed("explain", run, *photos, "--out", folder / "explained", "--device", "cpu")
    html, table = ((folder / name).read_text() for name in ("report.html", "report.md"))
    return Finished(data, run, html, table, printed, rows_of(folder / "predictions.csv"))


def typed(*arguments: object) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        cli.main([str(argument) for argument in arguments])
    return printed.getvalue()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(run: Path) -> dict[str, dict[str, float]]:
    return json.loads((run / "evaluation" / "metrics.json").read_text())


@pytest.fixture(scope="session")
def four_classes(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("four"), write_four_classes)


@pytest.fixture(scope="session")
def several_labels(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("several"), write_several_labels)


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("numbers"), write_numbers)


# From end to end


def test_four_classes(four_classes: Finished) -> None:
    found, predictions = metrics_of(four_classes.run), four_classes.predictions
    truth = [Path(row["file"]).parent.name for row in predictions]
    said = [row["predicted"] for row in predictions]
    assert found["accuracy"] == {"value": pytest.approx(oracle.accuracy_score(truth, said)), "n": 8}
    assert found["accuracy"]["value"] > 0.6
    assert list(found["per_class_accuracy"]) == ["blue", "green", "red", "white"]
    assert "Balanced accuracy" in four_classes.markdown
    assert "mAP" not in four_classes.markdown
    explained = four_classes.run.parent / "explained"
    assert sorted(file.name for file in explained.glob("*.png")) == [f"{i}.png" for i in range(16, 24)]


def test_several_labels(several_labels: Finished) -> None:
    found, predictions = metrics_of(several_labels.run), several_labels.predictions
    numbers = [int(Path(row["file"]).stem) for row in predictions]
    truth = np.array([[i % 4 in (0, 2), i % 4 in (0, 1)] for i in numbers]).astype(int)  # blue, red
    scores = np.array([[float(row["blue"]), float(row["red"])] for row in predictions])
    said = (scores >= 0.5).astype(int)
    expected = {
        "mean_average_precision": oracle.average_precision_score(truth, scores, average="macro"),
        "macro_f1": oracle.f1_score(truth, said, average="macro"),
        "micro_f1": oracle.f1_score(truth, said, average="micro"),
        "hamming_accuracy": 1 - oracle.hamming_loss(truth, said),
    }
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert expected["mean_average_precision"] > 0.8
    assert found["about"]["task"] == "multi-label"
    assert (found["about"]["images"], found["about"]["annotated"]) == (8, 4)
    assert found["iou"]["n"] == 6  # two images with two annotated classes, two with one
    assert set(found["group_hamming_accuracy"]) == {"day", "night"}
    for row, decided in zip(predictions, said, strict=True):
        assert row["predicted"] == ";".join(np.array(["blue", "red"])[decided > 0])


def test_rows_of_several_labels(several_labels: Finished) -> None:
    folder = several_labels.run / "evaluation"
    table = {row["id"]: row for row in rows_of(folder / "per_image.csv")}
    assert len(table) == 8 + 2
    both = table["images/16.png#blue"], table["images/16.png#red"]
    assert [row["explained"] for row in both] == ["blue", "red"]
    assert {row["label"] for row in both} == {"blue;red"}
    assert {row["annotated"] for row in both} == {"true"}
    # Without an annotation: the first class that the image shows, or the first of all.
    assert table["images/18.png#blue"]["annotated"] == table["images/19.png#blue"]["annotated"] == "false"
    assert table["images/18.png#blue"]["iou"] == ""
    assert table["images/19.png#blue"]["label"] == ""
    maps = np.load(folder / "explanations.npz")
    assert list(maps["id"]) == list(table)
    found = dict(zip(maps["id"], maps["explanation"], strict=True))
    left, right = found["images/16.png#red"], found["images/16.png#blue"]
    assert left[:, :4].clip(0).sum() > left[:, 4:].clip(0).sum()  # the red square is on the left
    assert right[:, 4:].clip(0).sum() > right[:, :4].clip(0).sum()


def test_report_of_several_labels(several_labels: Finished) -> None:
    for text in ("mAP", "Macro F1", "Hamming accuracy", "6 annotated classes of images"):
        assert text in several_labels.markdown + several_labels.report
    assert "Balanced accuracy" not in several_labels.report
    assert "explained: red" in several_labels.report
    assert "blue, red" in several_labels.report
    assert "no class" in several_labels.report
    assert several_labels.report.count('class="outline"') >= 6
    assert "(6 annotated classes of images)" in several_labels.printed


def test_explain_gives_a_map_of_every_class_that_is_present(several_labels: Finished) -> None:
    for row in several_labels.predictions:
        names = row["predicted"].split(";") if row["predicted"] else [""]
        stem = Path(row["file"]).stem
        files = sorted(file.name for file in (several_labels.run.parent / "explained").glob(f"{stem}-*.npy"))
        if row["predicted"]:
            assert files == [f"{stem}-{name}.npy" for name in names]
        else:
            assert len(files) == 1  # of the most likely class
    (explained,) = explain_images(several_labels.run, [several_labels.data / "images" / "16.png"])
    assert list(explained.explanations) == explained.predicted.split(";") == ["blue", "red"]
    assert not np.allclose(explained.explanations["blue"], explained.explanations["red"])


def test_numbers(numbers: Finished) -> None:
    found, predictions = metrics_of(numbers.run), numbers.predictions
    by_file = {row["file"]: float(row["value"]) for row in rows_of(numbers.data / "labels.csv")}
    truth = np.array([by_file[Path(row["file"]).name] for row in predictions])
    ours = np.array([float(row["value"]) for row in predictions])
    assert found["mae"]["value"] == pytest.approx(oracle.mean_absolute_error(truth, ours), abs=1e-2)
    assert found["rmse"]["value"] == pytest.approx(oracle.root_mean_squared_error(truth, ours), abs=1e-2)
    assert found["r2"]["value"] == pytest.approx(oracle.r2_score(truth, ours), abs=1e-3)
    assert found["mae"]["n"] == found["iou"]["n"] == 8
    assert found["r2"]["value"] > 0.3  # a head that starts at zero, and numbers about a thousand
    assert "reasonability_matrix" not in found
    table = rows_of(numbers.run / "evaluation" / "per_image.csv")
    assert [float(row["label"]) for row in table] == truth.tolist()
    assert {row["correct"] for row in table} == {""}


def test_report_of_numbers(numbers: Finished) -> None:
    for text in ("MAE", "R²", "Spearman", "Mean absolute error"):
        assert text in numbers.markdown
    assert "There is no reasonability matrix: a predicted number" in numbers.report
    assert 'class="matrix"' not in numbers.report
    assert "off by" in numbers.report
    assert "✓ right" not in numbers.report


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("four_classes", "val_balanced_accuracy"),
        ("several_labels", "val_mean_average_precision"),
        ("numbers", "val_r2"),
    ],
)
def test_best_epoch_is_that_of_the_tasks_own_figure(
    name: str, figure: str, request: pytest.FixtureRequest
) -> None:
    folder = RunFolder(request.getfixturevalue(name).run)
    values = [float(row[figure]) for row in rows_of(folder.log_file)]
    facts = folder.facts()
    assert facts["best_value"] == max(values) == values[facts["best_epoch"]]


def test_the_outputs_are_told_to_those_who_take_the_network_away(numbers: Finished, tmp_path: Path) -> None:
    typed("export", numbers.run, "--out", tmp_path, "--no-onnx")
    told = json.loads((tmp_path / "network.json").read_text())["output"]
    values = np.array([float(row["value"]) for row in rows_of(numbers.data / "labels.csv")][:12])
    assert (
        told
        == f"(B, 1): times {open_run(numbers.run).output.std!r} plus {float(values.mean())!r} is the number"
    )
    assert open_run(numbers.run).output.std == pytest.approx(values.std())


# Samples and batches


def dataset_of(data: Path, **options: object) -> ExplanationDataset:
    found = read_annotations(DataConfig(data=data))
    several = len(found.classes) if found.task is Task.MULTI_LABEL else None
    return ExplanationDataset(
        found.split("train").items,
        image_size=32,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        num_classes=several,
        **options,
    )


def test_a_batch_has_a_row_for_every_annotated_class(several_labels: Finished) -> None:
    dataset = dataset_of(several_labels.data)
    batch = collate([dataset[i] for i in range(4)])
    assert batch.label.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    assert batch.label.dtype == torch.float32
    assert batch.rows is not None
    assert batch.rows.image.tolist() == [0, 0, 1, 2, 3]
    assert batch.rows.label.tolist() == [0, 1, 1, 0, 0]
    assert batch.annotated.tolist() == [True, True, True, False, False]
    assert batch.annotation.shape == (5, 1, 32, 32)
    blue, red = batch.annotation[:2, 0] > 0
    assert blue.sum() == red.sum() == 144
    assert not (blue & red).any()
    assert torch.equal(batch.image[0, 0] > 0.5, red)  # the marks lie on their own square
    assert torch.equal(batch.image[0, 2] > 0.5, blue)


def test_all_annotations_are_mirrored_with_their_image(several_labels: Finished) -> None:
    dataset = dataset_of(several_labels.data)
    plain, mirrored = dataset.sample(0, mirrored=False), dataset.sample(0, mirrored=True)
    assert torch.equal(plain.image.flip(-1), mirrored.image)
    assert [label for label, _ in mirrored.annotations] == [0, 1]
    for (_, one), (_, other) in zip(plain.annotations, mirrored.annotations, strict=True):
        assert torch.equal(one.flip(-1), other)


def test_a_batch_of_numbers(numbers: Finished) -> None:
    dataset = dataset_of(numbers.data)
    batch = collate([dataset[i] for i in range(3)])
    assert batch.label.dtype == torch.float32
    assert batch.label.tolist() == [item.value for item in dataset.items[:3]]
    assert batch.rows is None
    assert batch.annotation.shape == (3, 1, 32, 32)


# Supervision


def test_two_annotated_classes_have_two_maps_and_both_are_supervised(several_labels: Finished) -> None:
    """The gradient of both rows is the mean of the gradients of each row alone, and these differ."""
    torch.manual_seed(0)
    network = create("small_cnn", num_classes=2, image_size=32).network
    network.eval()
    model = SupervisedModel(
        network, GradCAM(network, image_size=32), Objective([Term(GRADIA())], task=Task.MULTI_LABEL)
    )
    batch = collate([dataset_of(several_labels.data)[0]])
    assert batch.rows is not None

    def gradient(batch: Batch) -> Tensor:
        network.zero_grad()
        step = model(batch)
        assert step.explanation_loss is not None
        step.explanation_loss.backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    def only(row: int) -> Batch:
        annotated = torch.zeros(2, dtype=torch.bool)
        annotated[row] = True
        return batch._replace(annotated=annotated)

    explainer = GradCAM(network, image_size=32)
    _, maps = explainer(batch.image, None, GRADIA().request, rows=batch.rows)
    blue, red = maps[GRADIA().request]
    assert not torch.allclose(blue, red)
    for label, expected in ((0, blue), (1, red)):  # each is the map of that class alone
        alone = explainer(batch.image, torch.tensor([label]), GRADIA().request).explanation
        torch.testing.assert_close(alone[0], expected)
    first, second = gradient(only(0)), gradient(only(1))
    assert first.abs().max() > 0
    assert second.abs().max() > 0
    assert not torch.allclose(first, second)
    torch.testing.assert_close(gradient(batch), (first + second) / 2, rtol=1e-4, atol=1e-7)


def test_a_number_is_explained_by_its_output() -> None:
    torch.manual_seed(0)
    network = create("small_cnn", num_classes=1, image_size=32).network
    explainer = GradCAM(network, image_size=32)
    image = torch.rand(2, 3, 32, 32)
    label = torch.tensor([3.5, -1.0])
    model = SupervisedModel(network, explainer, Objective([Term(GRADIA())], task=Task.REGRESSION))
    step = model(Batch(image, label, torch.ones(2, 1, 32, 32), torch.tensor([True, True]), ("a", "b")))
    step.total.backward()
    torch.testing.assert_close(step.prediction_loss, (step.logits[:, 0] - label).square().mean())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.head.parameters())


# What is refused


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"method": "evidence"},
            "score 'contrast', which compares classes .* task is multi-label; add --score",
        ),
        ({"score": "runner-up"}, "score 'runner-up'.*multi-label; add --score logit"),
        ({"method": "rrr"}, "RRR in 'rrr' explains the score .*; choose another method"),
        ({"method": "res-g + robust-vit"}, "RobustViT in .* one class per image, .* task is multi-label"),
        ({"method": "ibp-ex"}, "IBPEx in 'ibp-ex' is defined for one class per image"),
        ({"method": "r4"}, "R4 in 'r4' is defined for one class per image"),
        ({"method": "gradia(reasonability=true)"}, "GRADIA in .* is defined for one class per image"),
        ({"explain": "predicted"}, "each annotation of a multi-label task belongs to its class"),
    ],
)
def test_what_compares_classes_is_refused(
    changes: dict[str, str], told: str, several_labels: Finished, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        set_up(replace(options(several_labels.data, tmp_path / "run"), **changes))


def options(data: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        data=data,
        out=out,
        backbone="small_cnn",
        weights="none",
        train="all",
        image_size=32,
        accelerator="cpu",
    )


def test_a_logit_can_be_asked_for_instead(several_labels: Finished, tmp_path: Path) -> None:
    config = replace(options(several_labels.data, tmp_path / "run"), method="evidence", score="logit")
    assert set_up(config).output.task is Task.MULTI_LABEL


def test_a_number_has_no_classes_to_compare(numbers: Finished, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'contrast'.* this task is regression"):
        set_up(replace(options(numbers.data, tmp_path / "run"), method="evidence"))


def test_a_run_is_measured_by_what_its_own_task_means(several_labels: Finished, numbers: Finished) -> None:
    for run in (several_labels.run, numbers.run):
        assert 0 < measure(run, "gradia") < 1
        with pytest.raises(ConfigError, match="RRR in 'rrr' explains the score"):
            measure(run, "rrr")


def test_data_of_another_task(several_labels: Finished, numbers: Finished, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="for a regression task, the run was trained for a multi-label one"):
        evaluate(several_labels.run, data=DataConfig(data=numbers.data), out=tmp_path, device="cpu")
    with pytest.raises(CheckpointError, match="for a regression task, the data is for a multi-label one"):
        set_up(replace(options(several_labels.data, tmp_path / "new"), start=numbers.run))


def test_runs_of_other_tasks_are_not_compared(
    several_labels: Finished, numbers: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        typed("report", several_labels.run, numbers.run, "--out", tmp_path / "both.html")
    assert "one predicts multi-label, the other regression; report them apart" in capsys.readouterr().err


# Outputs


def test_a_number_keeps_its_scale_in_a_run_that_starts_from_another(
    numbers: Finished, tmp_path: Path
) -> None:
    config = replace(options(numbers.data, tmp_path / "next"), start=numbers.run, epochs=1, lr=1e-9)
    run = train(config)
    assert open_run(run.path).output == open_run(numbers.run).output
    evaluate(run.path, device="cpu", progress=False)
    assert metrics_of(run.path)["mae"]["value"] == pytest.approx(
        metrics_of(numbers.run)["mae"]["value"], rel=0.2
    )


def test_outputs_of_runs() -> None:
    output = Output(Task.REGRESSION, 10.0, 2.0)
    assert Output.from_facts({"output": output.facts}) == output
    assert Output.from_facts({}) == Output(Task.SINGLE_LABEL)  # a run of before there were other tasks
    with pytest.raises(CheckpointError, match="train it again"):
        Output.from_facts({"output": {"task": "divination"}})
    assert Output(Task.MULTI_LABEL).predict(torch.tensor([[0.0, 100.0]])).tolist() == [[0.5, 1.0]]


def test_classes_in_another_order_keep_their_marks(several_labels: Finished) -> None:
    run, found = open_run(several_labels.run), read_annotations(DataConfig(data=several_labels.data))
    turned = tuple(
        replace(
            item,
            labels=tuple(sorted(1 - label for label in item.labels)),
            marks_by_class={1 - label: marks for label, marks in item.marks_by_class.items()},
        )
        for item in found.items
    )
    other = AnnotationSet(found.root, found.classes[::-1], turned, task=Task.MULTI_LABEL)
    assert matching(other, run).items == found.items


def test_several_labels_with_cached_features(several_labels: Finished, tmp_path: Path) -> None:
    """With the frozen part's features from memory, losses are those without."""
    config = replace(
        options(several_labels.data, tmp_path / "a"), train="last-stage", epochs=2, method="res-l"
    )
    one = rows_of(train(config).log_file)
    two = rows_of(train(replace(config, out=tmp_path / "b", cache_features=False)).log_file)
    assert [float(row["loss"]) for row in one] == pytest.approx([float(row["loss"]) for row in two], abs=1e-4)


def test_one_image_with_rows_of_two_classes_is_one_image() -> None:
    """The prediction loss counts images, whatever their rows."""
    logits, label = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    rows = Rows(torch.tensor([0, 0]), torch.tensor([0, 1]))
    marks, image = torch.ones(2, 1, 4, 4), torch.zeros(1, 3, 4, 4)
    batch = Batch(image, label, marks, torch.tensor([True, True]), ("a",), rows=rows)
    loss = GRADIA()
    objective = Objective([Term(loss)], task=Task.MULTI_LABEL)
    result = objective(batch, Explained(logits, {loss.request: torch.zeros(2, 1, 4, 4)}))
    assert float(result.prediction_loss) == pytest.approx(np.log(2))
    assert float(result.parts[0]) == 1
