"""The outcome of an evaluation: one row per image (per_image.csv) and its summary (metrics.json)."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from lookright.errors import DataError
from lookright.files import open_csv, replacing
from lookright.metrics.evidence_outside import OUTSIDE
from lookright.metrics.figure import Figure
from lookright.metrics.groups import group_accuracy, worst_group
from lookright.metrics.localization import FIGURES as LOCALIZATION
from lookright.metrics.performance import per_class_accuracy, performance
from lookright.metrics.reasonability import ReasonabilityMatrix, is_reasonable
from lookright.types import REASONABLE_IOU


@dataclass(frozen=True)
class PerImage:
    """What a model made of each image of a split, column by column: N rows, one per image.

    In a multi-label task one per image and annotated class (see `lookright.metrics.task_summary`). Figures
    are NaN where they are not defined for an image (see `lookright.metrics.localization`).

    Raises:
        ValueError: columns of different length.
    """

    id: tuple[str, ...]
    file: tuple[str, ...]
    label: tuple[str, ...]
    """name of the true class; of all true classes, with ; between; the true number"""
    predicted: tuple[str, ...]
    """name of the most probable class; of all classes from 0.5 on; the predicted number"""
    probability: tuple[float, ...]
    """of the explained class, which is the predicted one in a single-label task; NaN for a number"""
    correct: tuple[bool | None, ...]
    """whether the class was predicted right; None for a number"""
    annotated: tuple[bool, ...]
    group: tuple[str | None, ...]
    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    epg: tuple[float, ...]
    pointing_game: tuple[float, ...]
    reasonable: tuple[bool | None, ...]
    """`lookright.metrics.is_reasonable` of the IoU; None where that is not defined"""
    explained: tuple[str, ...] | None = None
    """multi-label: name of the class that the row is about; `id` is then ID#CLASS"""
    evidence_outside: tuple[float, ...] | None = None
    """`lookright.metrics.evidence_outside`; None, as the next four, where the network does not tell it"""
    positive_outside: tuple[float, ...] | None = None
    negative_outside: tuple[float, ...] | None = None
    outside_margin: tuple[float, ...] | None = None
    certified: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self._columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns: one value per image in each, got lengths {lengths}")

    def __len__(self) -> int:
        return len(self.id)

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*_READ, *(name for name in _OPTIONAL if getattr(self, name) is not None))

    @classmethod
    def of(
        cls,
        *,
        ids: Sequence[str],
        files: Sequence[str],
        labels: Tensor,
        probabilities: Tensor,
        classes: Sequence[str],
        annotated: Tensor,
        groups: Sequence[str | None],
        localization: Mapping[str, Tensor],
        outside: Mapping[str, Tensor] | None = None,
        reasonable_iou: float = REASONABLE_IOU,
    ) -> Self:
        """Make the rows from what an evaluation collects.

        Args:
            ids: N ids
            files: N file names
            labels: (N,) integers in [0, K)
            probabilities: (N, K)
            classes: K names
            annotated: (N,) bool
            groups: N names, None or "" where an image has no group
            localization: of `lookright.metrics.localization.localization`, (N,) each
            outside: of `lookright.metrics.evidence_outside`, (N,) each
            reasonable_iou: IoU from which an explanation counts as reasonable

        Example:
            >>> import torch
            >>> nan = float("nan")
            >>> rows = PerImage.of(
            ...     ids=["a", "b"], files=["a.jpg", "b.jpg"], classes=["cat", "dog"],
            ...     labels=torch.tensor([0, 1]), probabilities=torch.tensor([[0.75, 0.25], [0.5, 0.5]]),
            ...     annotated=torch.tensor([True, False]), groups=[None, None],
            ...     localization={name: torch.tensor([0.5, nan]) for name in LOCALIZATION},
            ... )
            >>> rows.predicted, rows.correct, rows.reasonable
            (('cat', 'cat'), (True, False), (True, None))
        """
        chosen = probabilities.argmax(dim=1)
        columns = {name: tuple(localization[name].tolist()) for name in LOCALIZATION}
        certificate = {name: tuple(outside[name].tolist()) for name in OUTSIDE} if outside else {}
        return cls(
            id=tuple(ids),
            file=tuple(files),
            label=tuple(classes[index] for index in labels.tolist()),
            predicted=tuple(classes[index] for index in chosen.tolist()),
            probability=tuple(probabilities.gather(1, chosen[:, None])[:, 0].tolist()),
            correct=tuple((chosen == labels).tolist()),
            annotated=tuple(annotated.tolist()),
            group=tuple(group or None for group in groups),
            reasonable=tuple(is_reasonable(value, reasonable_iou) for value in columns["iou"]),
            **columns,
            **certificate,
        )

    def to_csv(self, path: Path) -> None:
        """Write the rows, a header first: true and false as words, empty where a value is not defined.

        The file appears whole or not at all.

        Raises:
            DataError: the file cannot be written.
        """
        with replacing(Path(path)) as temporary, open_csv(temporary, "w") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns)
            columns = [getattr(self, name) for name in self._columns]
            writer.writerows([_text(value) for value in row] for row in zip(*columns, strict=True))

    @classmethod
    def from_csv(cls, path: Path) -> Self:
        """Read what `to_csv` wrote.

        Raises:
            DataError: the file is missing or cannot be read, lacks a column, or a value is not of its kind.
        """
        try:
            with open_csv(Path(path)) as file:
                reader = csv.DictReader(file)
                missing = [name for name in _READ if name not in (reader.fieldnames or ())]
                if missing:
                    raise DataError(
                        f"{path}: lacks the column(s) {', '.join(missing)}; evaluate the run again"
                    )
                read = {**_READ, **{n: r for n, r in _OPTIONAL.items() if n in (reader.fieldnames or ())}}
                if "explained" in read:
                    read |= _READ_SEVERAL
                rows = [_read_row(row, read, f"{path}, line {reader.line_num}") for row in reader]
        except (OSError, csv.Error) as error:
            raise DataError(f"{path}: cannot be read ({error}); evaluate the run again") from error
        return cls(**{name: tuple(row[name] for row in rows) for name in read})


def summarize(per_image: PerImage, probabilities: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """The content of metrics.json: each figure as {"value": float | None, "n": images it rests on}.

    Args:
        per_image: N rows
        probabilities: (N, K), in the order of the rows
        classes: K names, in the order of the columns of `probabilities`

    Returns:
        - accuracy, balanced_accuracy, auroc
        - iou, precision, recall, f1, epg, pointing_game: the mean over the images that define each
        - evidence_outside, positive_outside, negative_outside, outside_margin: the mean over the images that
          define each, and certified: their share; only where the network tells them
        - per_class_accuracy: class name -> figure
        - group_accuracy: group name -> figure, and worst_group_accuracy, a figure with its "group";
          only where some image has a group
        - reasonability_matrix: cell -> {"value": share of the images, "n": images in the cell}

    Raises:
        ValueError: rows and probabilities are not of the same images, or a label is not in `classes`.
        NonFiniteError: a probability is NaN or infinite.

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
        >>> rows = PerImage.of(
        ...     ids=["a", "b"], files=["a.jpg", "b.jpg"], classes=["cat", "dog"], labels=torch.tensor([0, 1]),
        ...     probabilities=probabilities, annotated=torch.tensor([True, False]), groups=[None, None],
        ...     localization={name: torch.tensor([0.5, float("nan")]) for name in LOCALIZATION},
        ... )
        >>> figures = summarize(rows, probabilities, ["cat", "dog"])
        >>> figures["accuracy"], figures["iou"]
        ({'value': 0.5, 'n': 2}, {'value': 0.5, 'n': 1})
    """
    unknown = sorted(set(per_image.label) - set(classes))
    if unknown:
        raise ValueError(f"classes: {list(classes)} lack the label(s) {unknown} of per_image")
    if len(probabilities) != len(per_image):
        raise ValueError(f"probabilities: one row per image, got {len(probabilities)} for {len(per_image)}")
    chosen = tuple(classes[index] for index in probabilities.argmax(dim=1).tolist())
    if chosen != per_image.predicted:
        raise ValueError("probabilities: not in the order of per_image; their most probable classes differ")

    index = {name: position for position, name in enumerate(classes)}
    labels = torch.tensor([index[name] for name in per_image.label], dtype=torch.int64)
    labels = labels.to(probabilities.device)
    figures = performance(probabilities, labels)
    figures |= {name: Figure.mean(getattr(per_image, name)) for name in LOCALIZATION}
    if per_image.evidence_outside is not None:
        figures |= {name: Figure.mean(getattr(per_image, name)) for name in OUTSIDE}
    summary: dict[str, Any] = {name: figure.as_json() for name, figure in figures.items()}
    summary["per_class_accuracy"] = as_json(per_class_accuracy(probabilities, labels, classes))
    correct = [bool(right) for right in per_image.correct]
    groups = group_accuracy(correct, per_image.group)
    if groups:
        name, figure = worst_group(groups)
        summary["group_accuracy"] = as_json(groups)
        summary["worst_group_accuracy"] = {**figure.as_json(), "group": name}
    matrix = ReasonabilityMatrix.of(per_image.id, correct, per_image.reasonable)
    summary["reasonability_matrix"] = matrix.as_json()
    return summary


def as_json(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | int | None]]:
    """Named figures as metrics.json holds them."""
    return {name: figure.as_json() for name, figure in figures.items()}


def _text(value: str | float | bool | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_row(
    row: Mapping[str | Any, str | Any], columns: Mapping[str, Callable[[str], object]], place: str
) -> dict[str, Any]:
    if None in row or None in row.values():
        raise DataError(f"{place}: too many or too few columns, the file is damaged; evaluate the run again")
    values: dict[str, Any] = {}
    for name, read in columns.items():
        try:
            values[name] = read(row[name])
        except (ValueError, KeyError) as error:
            raise DataError(f"{place}: column {name} holds {row[name]!r}; evaluate the run again") from error
    return values


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _number(text: str) -> float:
    return float(text) if text.strip() else math.nan


def _name(text: str) -> str:
    if not text:
        raise ValueError("empty")
    return text


_READ: dict[str, Callable[[str], object]] = {
    "id": _name,
    "file": _name,
    "label": _name,
    "predicted": _name,
    "probability": _number,
    "correct": lambda text: _flag(text) if text else None,
    "annotated": _flag,
    "group": lambda text: text or None,
    **dict.fromkeys(LOCALIZATION, _number),
    "reasonable": lambda text: _flag(text) if text else None,
}
"""Column of the table -> how its text is read."""

_OPTIONAL: dict[str, Callable[[str], object]] = {"explained": _name, **dict.fromkeys(OUTSIDE, _number)}
"""Columns that are there in some tasks, or of some networks."""

_READ_SEVERAL: dict[str, Callable[[str], object]] = {"label": str, "predicted": str}
"""How a multi-label task differs, where an image may show no class."""
