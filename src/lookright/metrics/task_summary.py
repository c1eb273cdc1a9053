"""Figures, rows and summary by task: what `PerImage.of` and `summarize` are for one class per image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lookright.metrics.figure import Figure
from lookright.metrics.groups import group_mean, worst_group
from lookright.metrics.localization import FIGURES as LOCALIZATION
from lookright.metrics.multilabel import PRESENT, multilabel_performance, per_class_multilabel
from lookright.metrics.performance import performance
from lookright.metrics.reasonability import ReasonabilityMatrix, is_reasonable
from lookright.metrics.regression import regression_performance
from lookright.metrics.summary import PerImage, as_json
from lookright.types import Rows, Task

DECISIVE: dict[Task, str] = {
    Task.SINGLE_LABEL: "balanced_accuracy",
    Task.MULTI_LABEL: "mean_average_precision",
    Task.REGRESSION: "r2",
}
"""The figure of performance that picks the best epoch; larger is better."""


def performance_of(task: Task, prediction: Tensor, label: Tensor) -> dict[str, Figure]:
    """The figures of performance of a task that concern all images.

    Args:
        task: what is predicted
        prediction: (N, K) probabilities; (N, 1) numbers
        label: (N,) int64; (N, K) in {0, 1}; (N,) numbers

    Example:
        >>> import torch
        >>> list(performance_of(Task.REGRESSION, torch.ones(2, 1), torch.tensor([0.0, 1.0])))
        ['mae', 'rmse', 'r2', 'spearman']
    """
    match task:
        case Task.SINGLE_LABEL:
            return performance(prediction, label)
        case Task.MULTI_LABEL:
            return multilabel_performance(prediction, label)
        case Task.REGRESSION:
            return regression_performance(prediction[:, 0], label)


def multilabel_rows(
    *,
    ids: Sequence[str],
    files: Sequence[str],
    labels: Tensor,
    probabilities: Tensor,
    classes: Sequence[str],
    rows: Rows,
    annotated: Tensor,
    groups: Sequence[str | None],
    localization: Mapping[str, Tensor],
) -> PerImage:
    """Make one row per image and explained class.

    `correct` says whether that class was rightly said to be present or absent.

    Args:
        ids: N ids; a row's is ID#CLASS
        files: N file names
        labels: (N, K) in {0, 1}
        probabilities: (N, K)
        classes: K names
        rows: image and class of R rows
        annotated: (R,) bool
        groups: N names, None or "" where an image has no group
        localization: (R,) each

    Example:
        >>> import torch
        >>> table = multilabel_rows(
        ...     ids=["a"], files=["a.jpg"], classes=["cat", "dog"], groups=[None],
        ...     labels=torch.tensor([[1.0, 1.0]]), probabilities=torch.tensor([[0.75, 0.25]]),
        ...     rows=Rows(torch.tensor([0, 0]), torch.tensor([0, 1])), annotated=torch.tensor([True, True]),
        ...     localization={name: torch.tensor([0.5, 0.2]) for name in LOCALIZATION},
        ... )
        >>> table.id, table.label, table.predicted, table.correct
        (('a#cat', 'a#dog'), ('cat;dog', 'cat;dog'), ('cat', 'cat'), (True, False))
    """
    pairs = list(zip(rows.image.tolist(), rows.label.tolist(), strict=True))
    present = probabilities >= PRESENT
    right = present == (labels > 0)
    said, shown = _names(present, classes), _names(labels > 0, classes)
    columns = {name: tuple(localization[name].tolist()) for name in LOCALIZATION}
    return PerImage(
        id=tuple(f"{ids[i]}#{classes[k]}" for i, k in pairs),
        file=tuple(files[i] for i, _ in pairs),
        label=tuple(shown[i] for i, _ in pairs),
        predicted=tuple(said[i] for i, _ in pairs),
        probability=tuple(float(probabilities[i, k]) for i, k in pairs),
        correct=tuple(bool(right[i, k]) for i, k in pairs),
        annotated=tuple(annotated.tolist()),
        group=tuple(groups[i] or None for i, _ in pairs),
        reasonable=tuple(is_reasonable(value) for value in columns["iou"]),
        explained=tuple(classes[k] for _, k in pairs),
        **columns,
    )


def regression_rows(
    *,
    ids: Sequence[str],
    files: Sequence[str],
    values: Tensor,
    predicted: Tensor,
    annotated: Tensor,
    groups: Sequence[str | None],
    localization: Mapping[str, Tensor],
) -> PerImage:
    """Make one row per image; a number is neither right nor wrong, so `correct` is None.

    Args:
        ids: N ids
        files: N file names
        values: (N,) true numbers
        predicted: (N,)
        annotated: (N,) bool
        groups: N names, None or "" where an image has no group
        localization: (N,) each
    """
    columns = {name: tuple(localization[name].tolist()) for name in LOCALIZATION}
    return PerImage(
        id=tuple(ids),
        file=tuple(files),
        label=_digits(values),
        predicted=_digits(predicted),
        probability=(math.nan,) * len(ids),
        correct=(None,) * len(ids),
        annotated=tuple(annotated.tolist()),
        group=tuple(group or None for group in groups),
        reasonable=tuple(is_reasonable(value) for value in columns["iou"]),
        **columns,
    )


def summarize_multilabel(
    table: PerImage,
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    groups: Sequence[str | None],
) -> dict[str, Any]:
    """The content of metrics.json, as `summarize` gives it for one class per image.

    Figures of performance rest on images, those of reasonability on rows: annotated classes of images.

    Args:
        table: R rows
        probabilities: (N, K)
        labels: (N, K) in {0, 1}
        classes: K names
        groups: of the N images

    Returns:
        - mean_average_precision, macro_f1, micro_f1, hamming_accuracy
        - iou, precision, recall, f1, epg, pointing_game: the mean over the rows that define each
        - per_class_average_precision, per_class_f1: class name -> figure
        - group_hamming_accuracy and worst_group_hamming_accuracy, where some image has a group
        - reasonability_matrix: cell -> {"value": share of the rows, "n": rows in the cell}
    """
    summary = _common(Task.MULTI_LABEL, table, probabilities, labels)
    for name, figures in per_class_multilabel(probabilities, labels, classes).items():
        summary[name] = as_json(figures)
    shares = ((probabilities >= PRESENT) == (labels > 0)).double().mean(dim=1)
    summary |= _by_group("hamming_accuracy", shares, groups)
    correct = [bool(right) for right in table.correct]
    matrix = ReasonabilityMatrix.of(table.id, correct, table.reasonable)
    return summary | {"reasonability_matrix": matrix.as_json()}


def summarize_regression(
    table: PerImage, predicted: Tensor, values: Tensor, groups: Sequence[str | None]
) -> dict[str, Any]:
    """The content of metrics.json. There is no reasonability matrix: no number is simply right.

    Args:
        table: N rows
        predicted: (N,)
        values: (N,)
        groups: of the N images

    Returns:
        - mae, rmse, r2, spearman
        - iou, precision, recall, f1, epg, pointing_game: the mean over the images that define each
        - group_mae and worst_group_mae, where some image has a group
    """
    summary = _common(Task.REGRESSION, table, predicted[:, None], values)
    errors = (predicted.double() - values.double()).abs()
    return summary | _by_group("mae", errors, groups, higher_is_better=False)


def _common(task: Task, table: PerImage, prediction: Tensor, label: Tensor) -> dict[str, Any]:
    figures = performance_of(task, prediction, label)
    figures |= {name: Figure.mean(getattr(table, name)) for name in LOCALIZATION}
    return dict(as_json(figures))


def _by_group(
    name: str, values: Tensor, groups: Sequence[str | None], *, higher_is_better: bool = True
) -> dict[str, Any]:
    figures = group_mean(values.tolist(), groups)
    if not figures:
        return {}
    worst, figure = worst_group(figures, higher_is_better=higher_is_better)
    return {f"group_{name}": as_json(figures), f"worst_group_{name}": {**figure.as_json(), "group": worst}}


def _digits(values: Tensor) -> tuple[str, ...]:
    """The fewest digits that give the float32 back."""
    return tuple(str(value) for value in values.float().cpu().numpy())


def _names(present: Tensor, classes: Sequence[str]) -> list[str]:
    return [";".join(classes[k] for k in row.nonzero()[:, 0].tolist()) for row in present]
