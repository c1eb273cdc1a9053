"""How well a model predicts: accuracy, per class and balanced, and the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lookright.errors import NonFiniteError
from lookright.metrics.figure import Figure


def performance(probabilities: Tensor, labels: Tensor) -> dict[str, Figure]:
    """The figures of performance that concern all classes.

    Args:
        probabilities: (N, K) in [0, 1], rows of softmax
        labels: (N,) integers in [0, K)

    Returns:
        "accuracy", "balanced_accuracy" and "auroc", each over the N images.

    Raises:
        ValueError: wrong shape, or a label outside [0, K).
        NonFiniteError: a probability is NaN or infinite.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
        >>> performance(probabilities, torch.tensor([0, 0, 1, 1]))["accuracy"]
        Figure(value=0.5, n=4)
    """
    return {
        "accuracy": accuracy(probabilities, labels),
        "balanced_accuracy": balanced_accuracy(probabilities, labels),
        "auroc": auroc(probabilities, labels),
    }


def accuracy(probabilities: Tensor, labels: Tensor) -> Figure:
    """Share of the images whose most probable class is the label. Arguments and errors as `performance`.

    Example:
        >>> accuracy(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([0, 0]))
        Figure(value=0.5, n=2)
    """
    _check(probabilities, labels)
    return Figure.mean((probabilities.argmax(dim=1) == labels).tolist())


def per_class_accuracy(probabilities: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Figure]:
    """Accuracy among the images of each class (its recall). Arguments and errors as `performance`.

    Args:
        probabilities: (N, K)
        labels: (N,)
        classes: the K names, in the order of the columns

    Returns:
        Class name -> figure over the images of the class; undefined for a class without images.

    Example:
        >>> per_class_accuracy(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([0, 0]), ["cat", "dog"])
        {'cat': Figure(value=0.5, n=2), 'dog': Figure(value=nan, n=0)}
    """
    _check(probabilities, labels)
    if len(classes) != probabilities.shape[1] or len(set(classes)) != len(classes):
        raise ValueError(f"classes: {probabilities.shape[1]} different names, got {list(classes)}")
    correct = probabilities.argmax(dim=1) == labels
    return {name: Figure.mean(correct[labels == index].tolist()) for index, name in enumerate(classes)}


def balanced_accuracy(probabilities: Tensor, labels: Tensor) -> Figure:
    """Mean over the classes of the accuracy in each (Brodersen et al., ICPR 2010).

    Over the classes that have images here, as scikit-learn does. Arguments and errors as `performance`.

    Example:
        >>> balanced_accuracy(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, 1]))
        Figure(value=0.75, n=3)
    """
    _check(probabilities, labels)
    correct = probabilities.argmax(dim=1) == labels
    recalls = [Figure.mean(correct[labels == index].tolist()) for index in range(probabilities.shape[1])]
    mean = Figure.mean(recall.value for recall in recalls)
    return Figure(mean.value, len(labels))


def auroc(probabilities: Tensor, labels: Tensor) -> Figure:
    """Area under the ROC curve: how often an image of a class outranks one of another (Fawcett, 2006).

    Two classes: of the probability of class 1. More: one class against the rest, the plain mean over the
    classes that have images here. Undefined where all images are of one class. Arguments and errors as
    `performance`.

    Example:
        >>> auroc(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), torch.tensor([0, 1, 0]))
        Figure(value=0.5, n=3)
        >>> auroc(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([1, 1]))
        Figure(value=nan, n=0)
    """
    _check(probabilities, labels)
    scores, truth = probabilities.detach().double().cpu().numpy(), labels.cpu().numpy()
    present = np.unique(truth)
    if len(present) < 2:
        return Figure.undefined()
    ranked = [1] if probabilities.shape[1] == 2 else present
    areas = [roc_auc_score(truth == index, scores[:, index]) for index in ranked]
    return Figure(float(np.mean(areas)), len(truth))


def _check(probabilities: Tensor, labels: Tensor) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(f"probabilities: (N, K) with K >= 2 classes, got {tuple(probabilities.shape)}")
    count, classes = probabilities.shape
    if labels.shape != (count,) or labels.is_floating_point():
        raise ValueError(
            f"labels: {count} integers, one per row of probabilities, "
            f"got {tuple(labels.shape)} of {labels.dtype}"
        )
    if count and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ValueError(
            f"labels: from 0 to {classes - 1}, the columns of probabilities, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    if not torch.isfinite(probabilities).all():
        rows = (~torch.isfinite(probabilities)).any(dim=1).nonzero()[:, 0].tolist()
        raise NonFiniteError(
            f"probabilities: NaN or infinite in row(s) {rows[:10]}; check that the weights of the model are "
            "finite, and try --precision 32"
        )
