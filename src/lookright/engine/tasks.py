"""What differs between the tasks in training and evaluation: what an output means, and what fits the task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from lookright.config import TrainConfig
from lookright.data import AnnotationSet, Item
from lookright.data.shards import ShardIndex
from lookright.errors import CheckpointError, ConfigError
from lookright.losses import ExplanationLoss
from lookright.metrics import (
    DECISIVE,
    Figure,
    accuracy,
    balanced_accuracy,
    macro_f1,
    mae,
    mean_average_precision,
    r2,
)
from lookright.metrics.multilabel import PRESENT
from lookright.types import Score, Target, Task

Data = AnnotationSet | ShardIndex
"""What a run learns from: images at hand, or shards."""


@dataclass(frozen=True)
class Output:
    """What the outputs of a network mean.

    A number is predicted in units of the standard deviation of the training values, around their mean: a new
    head starts near zero, and the squared error is of one scale whatever the unit of the values.

    Example:
        >>> import torch
        >>> Output(Task.REGRESSION, mean=10.0, std=2.0).predict(torch.tensor([[0.5]]))
        tensor([[11.]])
    """

    task: Task = Task.SINGLE_LABEL
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, data: Data) -> Self:
        """Take the task from the data, and the scale of a number from its training images."""
        items = data.items if isinstance(data, AnnotationSet) else ()
        values = [item.value for item in items if item.split == "train" and item.value is not None]
        if data.task is not Task.REGRESSION or not values:
            return cls(data.task)
        mean = math.fsum(values) / len(values)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        return cls(data.task, mean, std or 1.0)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `facts` gave; runs of before other tasks were known are single-label.

        Raises:
            CheckpointError: a task that there is not.
        """
        told = facts.get("output", {"task": Task.SINGLE_LABEL.value})
        try:
            return cls(Task(told["task"]), float(told.get("mean", 0.0)), float(told.get("std", 1.0)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the run says its output is {told!r}; train it again") from error

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json says of it."""
        scale = {"mean": self.mean, "std": self.std} if self.task is Task.REGRESSION else {}
        return {"task": self.task.value, **scale}

    def predict(self, logits: Tensor) -> Tensor:
        """Turn outputs (B, K) into probabilities, (B, 1) into numbers, float32."""
        match self.task:
            case Task.SINGLE_LABEL:
                return logits.float().softmax(dim=1)
            case Task.MULTI_LABEL:
                return logits.float().sigmoid()
            case Task.REGRESSION:
                return logits.float() * self.std + self.mean

    def standardized(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Bring the numbers of items to the scale of the network."""
        if self.task is not Task.REGRESSION:
            return tuple(items)
        return tuple(
            item if item.value is None else replace(item, value=(item.value - self.mean) / self.std)
            for item in items
        )

    def score(self, logits: Tensor, label: Tensor) -> Tensor:
        """Sum over the images of a training batch of what the log shows (`score_name`), a scalar."""
        match self.task:
            case Task.SINGLE_LABEL:
                return (logits.argmax(dim=1) == label).sum()
            case Task.MULTI_LABEL:
                return ((logits.sigmoid() >= PRESENT) == (label > 0)).float().mean(dim=1).sum()
            case Task.REGRESSION:
                return (logits[:, 0] - label).abs().sum() * self.std

    @property
    def score_name(self) -> str:
        """Name of the mean of `score` in the log."""
        names = {
            Task.SINGLE_LABEL: "train_accuracy",
            Task.MULTI_LABEL: "train_hamming_accuracy",
            Task.REGRESSION: "train_mae",
        }
        return names[self.task]

    def validation(self, prediction: Tensor, label: Tensor) -> dict[str, float | None]:
        """Give the figures that the log shows of the validation images; the last one picks the best epoch."""
        figures: dict[str, Figure]
        match self.task:
            case Task.SINGLE_LABEL:
                figures = {
                    "accuracy": accuracy(prediction, label),
                    "balanced_accuracy": balanced_accuracy(prediction, label),
                }
            case Task.MULTI_LABEL:
                figures = {
                    "macro_f1": macro_f1(prediction, label),
                    "mean_average_precision": mean_average_precision(prediction, label),
                }
            case Task.REGRESSION:
                figures = {"mae": mae(prediction[:, 0], label), "r2": r2(prediction[:, 0], label)}
        return {f"val_{name}": figure.value if figure.n else None for name, figure in figures.items()}

    @property
    def decisive(self) -> str:
        """Name in the log of the figure of performance that picks the best epoch."""
        return f"val_{DECISIVE[self.task]}"


PLAIN = Output()
"""One class per image."""


def count_outputs(data: Data) -> int:
    """K: one per class, or one where a number is predicted."""
    return 1 if data.task is Task.REGRESSION else len(data.classes)


def check_fits(task: Task, losses: Iterable[ExplanationLoss], config: TrainConfig) -> None:
    """Refuse what is defined by a softmax over the classes where there is none.

    Args:
        task: what is predicted
        losses: of the objective
        config: the options, for what to do about it

    Raises:
        ConfigError: a loss that needs the probabilities of a softmax, or explains a score that compares
            classes; the explanation of the predicted class, where annotations belong to given classes.
    """
    if task is Task.SINGLE_LABEL:
        return
    for loss in losses:
        name, score = type(loss).__name__, loss.request.score
        if loss.needs_softmax:
            raise ConfigError(
                f"method: {name} in '{config.method}' is defined for one class per image, and this task is "
                f"{task.value}; choose another method, res-g say"
            )
        if score is not Score.LOGIT:
            remedy = "add --score logit" if loss.request.explainer is None else "choose another method"
            raise ConfigError(
                f"method: {name} in '{config.method}' explains the score '{score.value}', which compares "
                f"classes as a softmax does, and this task is {task.value}; {remedy}"
            )
        if task is Task.MULTI_LABEL and loss.request.target is Target.PREDICTED:
            raise ConfigError(
                "explain: 'predicted' is for one class per image; each annotation of a multi-label task "
                "belongs to its class: use --explain label"
            )
