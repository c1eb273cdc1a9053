"""How well a model predicts a number."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lookright.errors import NonFiniteError
from lookright.metrics.figure import Figure


def regression_performance(predicted: Tensor, values: Tensor) -> dict[str, Figure]:
    """The figures of a regression.

    Args:
        predicted: (N,)
        values: (N,) the true numbers

    Returns:
        "mae" and "rmse" in the unit of the values, "r2" and "spearman", each over the N images.

    Raises:
        ValueError: wrong shape.
        NonFiniteError: a prediction is NaN or infinite.

    Example:
        >>> regression_performance(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]))["mae"]
        Figure(value=0.5, n=2)
    """
    _check(predicted, values)
    return {
        "mae": mae(predicted, values),
        "rmse": rmse(predicted, values),
        "r2": r2(predicted, values),
        "spearman": spearman(predicted, values),
    }


def mae(predicted: Tensor, values: Tensor) -> Figure:
    """Mean absolute error. Arguments and errors as `regression_performance`.

    Example:
        >>> mae(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 2.0]))
        Figure(value=1.0, n=2)
    """
    _check(predicted, values)
    return Figure.mean((predicted.double() - values.double()).abs().tolist())


def rmse(predicted: Tensor, values: Tensor) -> Figure:
    """Root of the mean squared error: large errors count more. Arguments as `regression_performance`.

    Example:
        >>> rmse(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 4.0]))
        Figure(value=0.0, n=2)
    """
    _check(predicted, values)
    mean = Figure.mean((predicted.double() - values.double()).square().tolist())
    return Figure(math.sqrt(mean.value), mean.n) if mean.n else mean


def r2(predicted: Tensor, values: Tensor) -> Figure:
    """Coefficient of determination: 1 - sum of squared errors / sum of squares around the mean.

    1 is perfect, 0 what predicting the mean of these images reaches; it can be negative. Undefined where all
    values are equal. Arguments and errors as `regression_performance`.

    Example:
        >>> r2(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]))
        Figure(value=1.0, n=3)
        >>> r2(torch.tensor([1.0]), torch.tensor([2.0]))
        Figure(value=nan, n=0)
    """
    _check(predicted, values)
    truth = values.double()
    spread = float((truth - truth.mean()).square().sum()) if len(truth) else 0.0
    if not spread > 0:
        return Figure.undefined()
    return Figure(1 - float((predicted.double() - truth).square().sum()) / spread, len(truth))


def spearman(predicted: Tensor, values: Tensor) -> Figure:
    """Spearman's rank correlation: whether larger values are predicted larger. Equal values share a rank.

    Undefined where all values, or all predictions, are equal. Arguments and errors as
    `regression_performance`.

    Example:
        >>> round(spearman(torch.tensor([1.0, 5.0, 7.0]), torch.tensor([0.0, 1.0, 2.0])).value, 6)
        1.0
    """
    _check(predicted, values)
    if len(values) < 2:
        return Figure.undefined()
    ranks = torch.stack([_ranks(predicted), _ranks(values)])
    centred = ranks - ranks.mean(dim=1, keepdim=True)
    norms = centred.square().sum(dim=1).sqrt()
    if not bool((norms > 0).all()):
        return Figure.undefined()
    return Figure(float((centred[0] * centred[1]).sum() / norms.prod()), len(values))


def _ranks(values: Tensor) -> Tensor:
    """(N,) ranks from 0; equal values have the mean of theirs."""
    numbers = values.detach().double().cpu().numpy()
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = counts.cumsum() - 1
    return torch.from_numpy((last - (counts - 1) / 2)[inverse])


def _check(predicted: Tensor, values: Tensor) -> None:
    if predicted.ndim != 1 or values.shape != predicted.shape:
        raise ValueError(
            f"predicted, values: (N,) each, got {tuple(predicted.shape)} and {tuple(values.shape)}"
        )
    if not bool(torch.isfinite(predicted).all()):
        rows = (~torch.isfinite(predicted)).nonzero()[:, 0].tolist()
        raise NonFiniteError(
            f"predicted: NaN or infinite in row(s) {rows[:10]}; check that the weights of the model are "
            "finite, and try --precision 32"
        )
