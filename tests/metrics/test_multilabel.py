"""Figures of several labels per image, against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from lookright.errors import NonFiniteError
from lookright.metrics import (
    PerImage,
    hamming_accuracy,
    macro_f1,
    mean_average_precision,
    micro_f1,
    multilabel_performance,
    multilabel_rows,
    per_class_multilabel,
    summarize_multilabel,
)
from lookright.metrics.summary import LOCALIZATION
from lookright.types import Rows


def drawn(images: int = 40, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(images, classes, generator=generator) < 0.3).float()
    probabilities = (0.3 * labels + 0.7 * torch.rand(images, classes, generator=generator)).clamp(0, 1)
    return probabilities, labels


def test_figures_are_those_of_scikit_learn() -> None:
    probabilities, labels = drawn()
    scores, truth = probabilities.double().numpy(), labels.numpy().astype(int)
    said = (scores >= 0.5).astype(int)
    expected = {
        "mean_average_precision": oracle.average_precision_score(truth, scores, average="macro"),
        "macro_f1": oracle.f1_score(truth, said, average="macro"),
        "micro_f1": oracle.f1_score(truth, said, average="micro"),
        "hamming_accuracy": 1 - oracle.hamming_loss(truth, said),
    }
    found = multilabel_performance(probabilities, labels)
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, abs=1e-7)
    assert {figure.n for figure in found.values()} == {40}


def test_classes_that_no_image_shows_are_left_out() -> None:
    probabilities, labels = drawn()
    labels[:, 1] = 0
    probabilities[:, 1] = 0.1
    others = [0, 2, 3, 4]
    scores, truth = probabilities.double().numpy()[:, others], labels.numpy()[:, others]
    average_precision = oracle.average_precision_score(truth, scores, average="macro")
    assert mean_average_precision(probabilities, labels).value == pytest.approx(average_precision)
    assert macro_f1(probabilities, labels).value == pytest.approx(
        oracle.f1_score(truth, scores >= 0.5, average="macro")
    )
    by_class = per_class_multilabel(probabilities, labels, list("abcde"))
    assert by_class["per_class_f1"]["b"].n == by_class["per_class_average_precision"]["b"].n == 0
    for k, name in ((0, "a"), (4, "e")):
        figure = by_class["per_class_average_precision"][name]
        assert figure.n == int(labels[:, k].sum())
        assert figure.value == pytest.approx(
            oracle.average_precision_score(labels[:, k].numpy(), probabilities[:, k].double().numpy())
        )


def test_nothing_to_measure() -> None:
    empty = torch.zeros(0, 3)
    assert all(figure.n == 0 for figure in multilabel_performance(empty, empty).values())
    absent = torch.zeros(4, 3)
    assert mean_average_precision(absent, absent).n == macro_f1(absent, absent).n == 0
    assert micro_f1(absent, absent).n == 0
    assert hamming_accuracy(absent, absent).value == 1


def test_what_is_refused() -> None:
    probabilities, labels = drawn()
    with pytest.raises(ValueError, match=r"labels: \(40, 5\) of 0 and 1, got \(40,\)"):
        multilabel_performance(probabilities, labels[:, 0])
    with pytest.raises(ValueError, match="of 0 and 1"):
        multilabel_performance(probabilities, labels * 2)
    with pytest.raises(ValueError, match="classes: 5 different names"):
        per_class_multilabel(probabilities, labels, ["a"])
    probabilities[3, 1] = float("nan")
    with pytest.raises(NonFiniteError, match=r"row\(s\) \[3\]"):
        multilabel_performance(probabilities, labels)


def test_summary_counts_images_and_rows_apart() -> None:
    """Three images, the first with two annotated classes; worked out by hand."""
    nan = float("nan")
    labels = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    probabilities = torch.tensor([[0.9, 0.2], [0.7, 0.8], [0.1, 0.3]])
    rows = Rows(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0]))
    groups = ["day", "night", "night"]
    table = multilabel_rows(
        ids=["a", "b", "c"],
        files=["a.jpg", "b.jpg", "c.jpg"],
        labels=labels,
        probabilities=probabilities,
        classes=["cat", "dog"],
        rows=rows,
        annotated=torch.tensor([True, True, True, False]),
        groups=groups,
        localization={name: torch.tensor([0.8, 0.6, 0.2, nan]) for name in LOCALIZATION},
    )
    assert table.id == ("a#cat", "a#dog", "b#dog", "c#cat")
    assert table.label == ("cat;dog", "cat;dog", "dog", "")
    assert table.predicted == ("cat", "cat", "cat;dog", "")
    assert table.correct == (True, False, True, True)
    assert table.probability == pytest.approx((0.9, 0.2, 0.8, 0.1))
    summary = summarize_multilabel(table, probabilities, labels, ["cat", "dog"], groups)
    assert summary["hamming_accuracy"] == {"value": pytest.approx(4 / 6), "n": 3}
    assert summary["iou"] == {"value": pytest.approx(1.6 / 3), "n": 3}
    assert summary["group_hamming_accuracy"]["night"] == {"value": pytest.approx(0.75), "n": 2}
    assert summary["worst_group_hamming_accuracy"] == {"value": 0.5, "n": 1, "group": "day"}
    counts = {cell: entry["n"] for cell, entry in summary["reasonability_matrix"].items()}
    assert counts == {
        "reasonable-accurate": 1,
        "reasonable-inaccurate": 1,
        "unreasonable-accurate": 1,
        "unreasonable-inaccurate": 0,
    }


def test_rows_come_back_from_csv(tmp_path: Path) -> None:
    table = multilabel_rows(
        ids=["a"],
        files=["a.jpg"],
        labels=torch.zeros(1, 2),
        probabilities=torch.tensor([[0.25, 0.5]]),
        classes=["cat", "dog"],
        rows=Rows(torch.tensor([0]), torch.tensor([0])),
        annotated=torch.tensor([False]),
        groups=[None],
        localization={name: torch.tensor([np.nan]) for name in LOCALIZATION},
    )
    table.to_csv(tmp_path / "per_image.csv")
    assert repr(PerImage.from_csv(tmp_path / "per_image.csv")) == repr(table)
