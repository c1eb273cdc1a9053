from __future__ import annotations

import math
import warnings

import pytest
import sklearn.metrics
import torch
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_auroc,
)

from lookright.errors import NonFiniteError
from lookright.metrics import Figure, accuracy, auroc, balanced_accuracy, per_class_accuracy, performance

CASES = [(2, 40), (3, 60), (7, 200)]


def outcomes(classes: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(0, classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator) + torch.nn.functional.one_hot(labels, classes)
    return logits.softmax(dim=1), labels


@pytest.mark.parametrize(("classes", "images"), CASES)
def test_equals_torchmetrics(classes: int, images: int) -> None:
    probabilities, labels = outcomes(classes, images)
    figures = performance(probabilities, labels)
    micro = multiclass_accuracy(probabilities, labels, classes, average="micro")
    macro = multiclass_accuracy(probabilities, labels, classes, average="macro")
    area = (
        binary_auroc(probabilities[:, 1], labels)
        if classes == 2
        else multiclass_auroc(probabilities, labels, classes)
    )
    expected = {"accuracy": micro.item(), "balanced_accuracy": macro.item(), "auroc": area.item()}
    assert {name: figure.value for name, figure in figures.items()} == pytest.approx(expected, abs=1e-6)
    assert {figure.n for figure in figures.values()} == {images}


@pytest.mark.parametrize(("classes", "images"), CASES)
def test_equals_sklearn(classes: int, images: int) -> None:
    probabilities, labels = outcomes(classes, images)
    chosen = probabilities.argmax(dim=1)
    assert balanced_accuracy(probabilities, labels).value == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(labels, chosen)
    )
    names = [f"class {index}" for index in range(classes)]
    per_class = per_class_accuracy(probabilities, labels, names)
    recalls = sklearn.metrics.recall_score(labels, chosen, average=None)
    assert [per_class[name].value for name in names] == pytest.approx(recalls.tolist())
    assert [per_class[name].n for name in names] == torch.bincount(labels).tolist()


def test_class_without_images_is_left_out() -> None:
    probabilities, labels = outcomes(4, 80)
    labels = labels.clamp(max=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that class 3 is predicted and never true
        expected = sklearn.metrics.balanced_accuracy_score(labels, probabilities.argmax(dim=1))
    assert balanced_accuracy(probabilities, labels).value == pytest.approx(expected)
    areas = [sklearn.metrics.roc_auc_score(labels == index, probabilities[:, index]) for index in range(3)]
    assert auroc(probabilities, labels).value == pytest.approx(sum(areas) / 3)
    absent = per_class_accuracy(probabilities, labels, list("abcd"))["d"]
    assert absent.n == 0
    assert math.isnan(absent.value)


def test_split_with_one_class() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    figures = performance(probabilities, torch.tensor([0, 0]))
    assert figures["accuracy"] == figures["balanced_accuracy"] == Figure(0.5, 2)
    assert math.isnan(figures["auroc"].value)
    assert figures["auroc"].n == 0


def test_no_images() -> None:
    figures = performance(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    assert all(figure.n == 0 and math.isnan(figure.value) for figure in figures.values())


def test_bfloat16() -> None:
    probabilities, labels = outcomes(3, 60)
    narrow = probabilities.bfloat16()
    assert performance(narrow, labels) == performance(narrow.float(), labels)


def test_ties_count_half_in_auroc() -> None:
    assert auroc(torch.full((6, 2), 0.5), torch.tensor([0, 1, 0, 1, 1, 1])) == Figure(0.5, 6)


def test_wrong_arguments_are_named() -> None:
    probabilities, labels = outcomes(3, 10)
    with pytest.raises(ValueError, match="probabilities: "):
        accuracy(probabilities[:, :1], labels)
    with pytest.raises(ValueError, match="labels: 10 integers"):
        accuracy(probabilities, labels[:4])
    with pytest.raises(ValueError, match="labels: from 0 to 2"):
        accuracy(probabilities, labels + 1)
    with pytest.raises(ValueError, match="classes: 3 different names"):
        per_class_accuracy(probabilities, labels, ["a", "b", "b"])
    probabilities[3, 1] = math.nan
    with pytest.raises(NonFiniteError, match=r"row\(s\) \[3\]"):
        accuracy(probabilities, labels)
