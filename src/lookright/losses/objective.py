"""The whole objective: the loss of the predictions plus weighted explanation losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lookright.choices import choice
from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss, LossResult, check_marks
from lookright.losses.prediction import prediction_loss
from lookright.losses.reduce import global_sum
from lookright.precision import full_precision
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch, Explained, Request, Rows, Task

Resized = Callable[[tuple[int, int], ResizeRule], Tensor]
"""grid and rule -> the annotation there"""

RATIOS = 10
"""How many ratios of gradients are kept for the scale of a term."""
NOT_MEASURED = -1.0


class Term(NamedTuple):
    """An explanation loss and its weight beside the prediction loss.

    Example:
        >>> from lookright.losses import RES
        >>> Objective([Term(RES(), 0.5), Term(RES(slack=0.0))]).weights
        [0.5, 1.0]
    """

    loss: ExplanationLoss
    weight: float = 1.0
    balanced: bool = False
    """whether `lookright.engine.weighting` scales it so that the weight is a ratio of gradients"""


class ObjectiveResult(NamedTuple):
    """The objective and its parts."""

    total: Tensor
    """scalar: what is differentiated"""
    prediction_loss: Tensor
    """scalar, as it is weighed in the total"""
    explanation_loss: Tensor | None
    """scalar: the weighted sum of the explanation losses; None if there are none"""
    parts: tuple[Tensor, ...]
    """scalars: the explanation losses as they are, before weights"""
    facts: dict[str, Tensor]
    """name -> scalar without gradient, for the log"""


class Objective(nn.Module):
    r"""Prediction loss + ramp * sum_i weight_i * scale_i * explanation_loss_i, means over the global batch.

    The prediction loss is the cross-entropy, or what the task asks for (`prediction_loss`). A loss may weigh
    the predictions of the images (GRADIA, CYBORG). `ramp` is 1 but during a warm-up, `scale_i` is 1 unless
    weights are set by gradient ratio (`lookright.engine.weighting`, which keeps its measurements here).

    Args:
        terms: explanation losses with their weights; none is plain training
        task: what the network predicts, as `Task` or its value

    Raises:
        ConfigError: a negative weight, a term that is none, another task.

    Example:
        >>> from lookright.losses import GRADIA, Objective, Term
        >>> objective = Objective([Term(GRADIA(), 0.5)])
        >>> [request.normalization.value for request in objective.requests]
        ['min-max']
    """

    scale: Tensor
    factors: Tensor
    ratios: Tensor
    steps_measured: Tensor
    _has_checked = False

    def __init__(self, terms: Sequence[Term] = (), *, task: Task | str = Task.SINGLE_LABEL) -> None:
        super().__init__()
        if isinstance(terms, Term | ExplanationLoss):
            raise ConfigError(f"terms: got one {_kind(terms)}, need a list: Objective([Term(RES())])")
        for term in terms:
            if not isinstance(term, Term) or not isinstance(term.loss, ExplanationLoss):
                raise ConfigError(f"terms: got {_kind(term)}, need a loss with its weight: Term(RES(), 1.0)")
            if not 0 <= term.weight < math.inf:  # which NaN fails as well
                raise ConfigError(f"explanation weight: got {term.weight}, need 0 or more")
        self.losses = nn.ModuleList(term.loss for term in terms)
        self.weights = [term.weight for term in terms]
        self.balanced = [term.balanced for term in terms]
        self.task = choice("task", task, Task)
        self.ramp = 1.0
        self.register_buffer("scale", torch.ones(len(terms)))
        self.register_buffer("factors", torch.tensor(self.weights), persistent=False)
        self.register_buffer("ratios", torch.full((len(terms), RATIOS), NOT_MEASURED))
        self.register_buffer("steps_measured", torch.zeros((), dtype=torch.int64))

    @property
    def terms(self) -> list[Term]:
        """The explanation losses with their weights."""
        return [
            Term(loss, weight, balanced)
            for loss, weight, balanced in zip(self.losses, self.weights, self.balanced, strict=True)
            if isinstance(loss, ExplanationLoss)
        ]

    @property
    def requests(self) -> tuple[Request, ...]:
        """The explanations that the losses need, each once."""
        return tuple(dict.fromkeys(term.loss.request for term in self.terms))

    def forward(self, batch: Batch, explained: Explained) -> ObjectiveResult:
        """Compute the objective in float32.

        Args:
            batch: as `lookright.data.collate` gives it
            explained: logits (B, K), and the explanations of `requests`
        """
        with torch.autocast(explained.logits.device.type, enabled=False):
            per_image = prediction_loss(self.task, full_precision(explained.logits), batch.label)
            resized = batch.resized or self._resized_once(batch)
            results = [self._evaluate(term.loss, batch, explained, resized) for term in self.terms]
            if not results:
                mean = _weighted_mean(per_image, torch.ones_like(per_image))
                return ObjectiveResult(mean, mean, None, (), {})
            prediction = _weighted_mean(per_image, _image_weights(results, per_image, batch.rows))
            parts = tuple(result.value for result in results)
            facts = {name: fact for result in results for name, fact in result.facts.items()}
            return self.weigh(prediction, parts, facts)

    def weigh(
        self, prediction: Tensor, parts: tuple[Tensor, ...], facts: dict[str, Tensor]
    ) -> ObjectiveResult:
        """Add prediction loss and explanation losses up, by the weights and scales of now."""
        weights = self.scale * self.factors * self.ramp
        explanation_loss = (torch.stack(parts) * weights).sum()
        return ObjectiveResult(prediction + explanation_loss, prediction, explanation_loss, parts, facts)

    def _evaluate(
        self, loss: ExplanationLoss, batch: Batch, explained: Explained, resized: Resized
    ) -> LossResult:
        logits, label = explained.logits, batch.label
        if batch.rows is not None:
            logits, label = logits[batch.rows.image], batch.rows.label

        def image() -> Tensor:
            pixels = batch.image if batch.pixels is None else batch.pixels()
            return pixels if batch.rows is None else pixels[batch.rows.image]

        return loss.evaluate(
            explained.explanations[loss.request],
            batch.annotation,
            batch.annotated,
            image,
            logits=logits,
            label=label,
            resized=resized,
        )

    def _resized_once(self, batch: Batch) -> Resized:
        """Give the annotations on a grid, made once for all losses that ask for it."""

        @cache
        def resized(size: tuple[int, int], rule: ResizeRule) -> Tensor:
            on_grid = resize_annotation(full_precision(batch.annotation), size, rule)
            marks = torch.where(batch.annotated[:, None, None, None], on_grid, 0.0)
            self._has_checked = check_marks(marks, has_checked=self._has_checked)
            return marks

        return resized


def _kind(thing: object) -> str:
    return f"Term({_kind(thing.loss)})" if isinstance(thing, Term) else type(thing).__name__


def _image_weights(results: Sequence[LossResult], per_image: Tensor, rows: Rows | None) -> Tensor:
    """The product over the losses of what each puts on an image: the mean over the rows of the image."""
    weights = torch.ones_like(per_image)
    for result in results:
        if (weight := result.prediction_weight) is None:
            continue
        if rows is not None:
            count = torch.zeros_like(per_image).index_add(0, rows.image, torch.ones_like(weight))
            weight = torch.zeros_like(per_image).index_add(0, rows.image, weight) / count.clamp(min=1)
        weights = weights * weight
    return weights.detach()


def _weighted_mean(per_image: Tensor, weights: Tensor) -> Tensor:
    """Mean over the images of all processes; the weights are not normalised: they mean what they say."""
    count = global_sum(per_image.new_full((), len(per_image)))
    return global_sum((per_image * weights).sum()) / count
