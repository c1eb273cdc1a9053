"""The whole objective: cross-entropy plus weighted explanation losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss
from lookright.losses.reduce import global_mean
from lookright.types import Batch, Explained, Request


class Term(NamedTuple):
    """An explanation loss and its weight beside the cross-entropy."""

    loss: ExplanationLoss
    weight: float = 1.0


class ObjectiveResult(NamedTuple):
    """The objective and its parts."""

    total: Tensor
    """scalar: what is differentiated"""
    cross_entropy: Tensor
    """scalar"""
    explanation_loss: Tensor | None
    """scalar: the weighted sum of the explanation losses; None if there are none"""
    facts: dict[str, Tensor]
    """name -> scalar without gradient, for the log"""


class Objective(nn.Module):
    r"""Cross-entropy + sum_i weight_i * explanation_loss_i, each a mean over the global batch.

    Args:
        terms: explanation losses with their weights; none is plain training

    Raises:
        ConfigError: a negative weight.

    Example:
        >>> from lookright.losses import GRADIA, Objective, Term
        >>> objective = Objective([Term(GRADIA(), 0.5)])
        >>> [request.normalization.value for request in objective.requests]
        ['min-max']
    """

    def __init__(self, terms: Sequence[Term] = ()) -> None:
        super().__init__()
        for term in terms:
            if term.weight < 0:
                raise ConfigError(f"explanation weight: got {term.weight}, need 0 or more")
        self.losses = nn.ModuleList(term.loss for term in terms)
        self.weights = [term.weight for term in terms]

    @property
    def terms(self) -> list[Term]:
        """The explanation losses with their weights."""
        return [
            Term(loss, weight)
            for loss, weight in zip(self.losses, self.weights, strict=True)
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
            per_image = F.cross_entropy(explained.logits.float(), batch.label, reduction="none")
            cross_entropy = global_mean(per_image, torch.ones_like(batch.label, dtype=torch.bool))
            if not self.weights:
                return ObjectiveResult(cross_entropy, cross_entropy, None, {})
            facts: dict[str, Tensor] = {}
            weighted = []
            for loss, weight in self.terms:
                explanation = explained.explanations[loss.request]
                result = loss.evaluate(explanation, batch.annotation, batch.annotated, batch.image)
                weighted.append(weight * result.value)
                facts |= result.facts
            explanation_loss = torch.stack(weighted).sum()
            return ObjectiveResult(cross_entropy + explanation_loss, cross_entropy, explanation_loss, facts)
