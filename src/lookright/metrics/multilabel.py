"""How well a model decides which of several classes are in an image (multi-label)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from lookright.errors import NonFiniteError
from lookright.metrics.figure import Figure

PRESENT = 0.5
"""Probability from which a class is taken to be present."""


def multilabel_performance(probabilities: Tensor, labels: Tensor) -> dict[str, Figure]:
    """The figures of multi-label performance that concern all classes.

    Args:
        probabilities: (N, K) in [0, 1], a sigmoid each
        labels: (N, K) in {0, 1}

    Returns:
        "mean_average_precision", "macro_f1", "micro_f1" and "hamming_accuracy", each over the N images.

    Raises:
        ValueError: wrong shape, or labels other than 0 and 1.
        NonFiniteError: a probability is NaN or infinite.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.2], [0.6, 0.7]])
        >>> multilabel_performance(probabilities, torch.tensor([[1, 0], [0, 1]]))["hamming_accuracy"]
        Figure(value=0.75, n=2)
    """
    _check(probabilities, labels)
    return {
        "mean_average_precision": mean_average_precision(probabilities, labels),
        "macro_f1": macro_f1(probabilities, labels),
        "micro_f1": micro_f1(probabilities, labels),
        "hamming_accuracy": hamming_accuracy(probabilities, labels),
    }


def mean_average_precision(probabilities: Tensor, labels: Tensor) -> Figure:
    """Mean over the classes of the average precision of each (mAP; Everingham et al., VOC, IJCV 2010).

    Average precision as scikit-learn has it: sum over the recalls of the precision there, not interpolated.
    Over the classes that some image shows; undefined where there is none. Arguments and errors as
    `multilabel_performance`.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.2], [0.6, 0.7]])
        >>> mean_average_precision(probabilities, torch.tensor([[1, 0], [0, 1]]))
        Figure(value=1.0, n=2)
    """
    _check(probabilities, labels)
    return _over(_average_precision(probabilities, labels), len(labels))


def macro_f1(probabilities: Tensor, labels: Tensor) -> Figure:
    """Mean over the classes of F1 = 2 tp / (2 tp + fp + fn), a class being present from 0.5.

    Over the classes that some image shows or is said to show. Arguments and errors as
    `multilabel_performance`.

    Example:
        >>> macro_f1(torch.tensor([[0.9, 0.2], [0.6, 0.7]]), torch.tensor([[1, 0], [0, 1]])).n
        2
    """
    _check(probabilities, labels)
    return _over(_f1(*_counts(probabilities, labels)), len(labels))


def micro_f1(probabilities: Tensor, labels: Tensor) -> Figure:
    """F1 of all decisions of all classes together: frequent classes count more than in `macro_f1`.

    Arguments and errors as `multilabel_performance`.

    Example:
        >>> micro_f1(torch.tensor([[0.9, 0.2], [0.6, 0.7]]), torch.tensor([[1, 0], [0, 1]]))
        Figure(value=0.8, n=2)
    """
    _check(probabilities, labels)
    both, either = _counts(probabilities, labels)
    return _over(_f1(both.sum()[None], either.sum()[None]), len(labels))


def hamming_accuracy(probabilities: Tensor, labels: Tensor) -> Figure:
    """Share of the N K decisions that are right: 1 - Hamming loss.

    Where most classes are absent from most images, saying "none" scores well here. Arguments and errors as
    `multilabel_performance`.

    Example:
        >>> hamming_accuracy(torch.tensor([[0.9, 0.2], [0.6, 0.7]]), torch.tensor([[1, 0], [0, 1]]))
        Figure(value=0.75, n=2)
    """
    _check(probabilities, labels)
    return Figure.mean(((probabilities >= PRESENT) == (labels > 0)).double().mean(dim=1).tolist())


def per_class_multilabel(
    probabilities: Tensor, labels: Tensor, classes: Sequence[str]
) -> dict[str, dict[str, Figure]]:
    """Average precision and F1 of each class.

    Args:
        probabilities: (N, K)
        labels: (N, K)
        classes: the K names

    Returns:
        "per_class_average_precision" and "per_class_f1", each class name -> figure, with the number of images
        that show the class; undefined for a class that none shows.

    Raises:
        ValueError, NonFiniteError: as `multilabel_performance`; not K different names.

    Example:
        >>> figures = per_class_multilabel(torch.tensor([[0.9], [0.1]]), torch.tensor([[1], [0]]), ["cat"])
        >>> figures["per_class_f1"]
        {'cat': Figure(value=1.0, n=1)}
    """
    _check(probabilities, labels)
    if len(classes) != probabilities.shape[1] or len(set(classes)) != len(classes):
        raise ValueError(f"classes: {probabilities.shape[1]} different names, got {list(classes)}")
    shown = [int(count) for count in labels.sum(dim=0).tolist()]
    figures = {
        "per_class_average_precision": _average_precision(probabilities, labels),
        "per_class_f1": _f1(*_counts(probabilities, labels)),
    }
    return {
        name: {
            label: Figure(float(value), n) if n else Figure.undefined()
            for label, value, n in zip(classes, values, shown, strict=True)
        }
        for name, values in figures.items()
    }


_Values = np.ndarray[tuple[int], np.dtype[np.float64]]


def _average_precision(probabilities: Tensor, labels: Tensor) -> _Values:
    """(K,), NaN for a class that no image shows."""
    scores, truth = probabilities.detach().double().cpu().numpy(), labels.cpu().numpy() > 0
    values = [
        average_precision_score(truth[:, k], scores[:, k]) if truth[:, k].any() else np.nan
        for k in range(truth.shape[1])
    ]
    return np.array(values, dtype=np.float64)


def _counts(probabilities: Tensor, labels: Tensor) -> tuple[_Values, _Values]:
    """Per class: images rightly said to show it, and the sum of those that show it and are said to."""
    said, shows = (probabilities >= PRESENT).cpu().numpy(), labels.cpu().numpy() > 0
    both, either = (said & shows).sum(axis=0), said.sum(axis=0) + shows.sum(axis=0)
    return both.astype(np.float64), either.astype(np.float64)


def _f1(both: _Values, either: _Values) -> _Values:
    return np.divide(2 * both, either, out=np.full_like(both, np.nan), where=either > 0)


def _over(values: _Values, images: int) -> Figure:
    """Mean of the values that are defined, resting on all images."""
    defined = values[~np.isnan(values)]
    return Figure(float(defined.mean()), images) if len(defined) else Figure.undefined()


def _check(probabilities: Tensor, labels: Tensor) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 1:
        raise ValueError(f"probabilities: (N, K), got {tuple(probabilities.shape)}")
    if labels.shape != probabilities.shape or not bool(((labels == 0) | (labels == 1)).all()):
        raise ValueError(
            f"labels: {tuple(probabilities.shape)} of 0 and 1, got {tuple(labels.shape)} of {labels.dtype}"
        )
    if not bool(torch.isfinite(probabilities).all()):
        rows = (~torch.isfinite(probabilities)).any(dim=1).nonzero()[:, 0].tolist()
        raise NonFiniteError(
            f"probabilities: NaN or infinite in row(s) {rows[:10]}; check that the weights of the model are "
            "finite, and try --precision 32"
        )
