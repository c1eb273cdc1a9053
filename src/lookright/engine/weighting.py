"""Weights of explanation losses that do not depend on their scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lookright.losses import Objective, ObjectiveResult
from lookright.losses.objective import NOT_MEASURED
from lookright.losses.reduce import global_sum, world_size

STEPS = 20


class GradientRatio:
    r"""Scales the balanced terms of an objective, so that a weight is a ratio of gradients.

        scale_i = median over the measured steps of  |grad prediction loss| / |grad explanation_loss_i|

    The first `steps` steps train on the prediction loss alone; the later half of them is measured. (On the
    very first ones a new head is nearly zero, and with it every map.) Then the scale is set and stays: a
    weight of 1 means that explanation and prediction pull equally hard when the explanation comes in,
    whatever the unit of the loss, the batch size or the number of cells. Norms are taken over the trained
    weights of the network that the term reaches. GradNorm (Chen et al., ICML 2018) and the adaptive weight of
    VQGAN (Esser et al., CVPR 2021) go on balancing; a weight that stays keeps the objective one function.

    What was measured is kept in the objective's buffers, and so in checkpoints.

    Args:
        objective: whose `scale` is set
        steps: how many steps train on the prediction alone

    Example:
        >>> from lookright.losses import GRADIA, Objective, Term
        >>> GradientRatio(Objective([Term(GRADIA(), 1.0, balanced=True)])).is_open
        True
    """

    def __init__(self, objective: Objective, steps: int = STEPS) -> None:
        self.objective = objective
        self.steps = max(1, steps)
        self.balanced = [i for i, balanced in enumerate(objective.balanced) if balanced]
        self._is_closed = not self.balanced
        if self.is_open:
            objective.scale[self.balanced] = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a balanced term waits for its scale. Once none does, that stays: nobody asks the device."""
        self._is_closed = self._is_closed or int(self.objective.steps_measured) >= self.steps
        return not self._is_closed

    @property
    def is_due(self) -> bool:
        """Whether the ratios of the next step count: on the very first ones every map is nearly zero."""
        return int(self.objective.steps_measured) >= self.steps // 2

    def measure(self, result: ObjectiveResult, network: nn.Module) -> None:
        """Take one step into account. Keeps the graph, leaves `.grad` alone.

        Args:
            result: of the objective, in the graph
            network: whose trained weights count
        """
        weights = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]
        ratios = []
        if self.is_due:
            prediction = _gradients(result.prediction_loss, weights)
            ratios = [
                ratio_of_norms(prediction, _gradients(result.parts[i], weights), result.parts[i])
                for i in self.balanced
            ]
        self.take(ratios)

    def take(self, ratios: Sequence[float]) -> None:
        """Note the ratios of one step; after the last one, set the scale.

        Args:
            ratios: one for each balanced term, of `ratio_of_norms`; none where they are not due
        """
        objective, done = self.objective, int(self.objective.steps_measured)
        if ratios:
            noted = torch.tensor(ratios, dtype=objective.ratios.dtype, device=objective.ratios.device)
            objective.ratios[self.balanced, done % objective.ratios.shape[1]] = noted
        if done + 1 < self.steps:
            objective.steps_measured += 1
            return
        medians = [_median(objective.ratios[i]) for i in self.balanced]
        for i, median in zip(self.balanced, medians, strict=True):
            objective.scale[i] = 0.0 if median is None else median
        if None not in medians:  # otherwise no image was annotated yet: wait for one
            objective.steps_measured += 1


def _median(ratios: Tensor) -> float | None:
    measured = ratios[ratios != NOT_MEASURED]
    return float(measured.median()) if len(measured) else None


def ratio_of_norms(
    prediction: Sequence[Tensor | None], explanation: Sequence[Tensor | None], part: Tensor
) -> float:
    """|prediction| / |explanation| over the weights that both reach.

    `NOT_MEASURED` where the explanation loss is zero: it says nothing then. 0 where it reaches nothing that
    learns.
    """
    both = [(p, e) for p, e in zip(prediction, explanation, strict=True) if p is not None and e is not None]
    pull = sum(float(p.square().sum()) for p, _ in both)
    pull_of_part = sum(float(e.square().sum()) for _, e in both)
    if pull > 0 and pull_of_part > 0:
        return float((pull / pull_of_part) ** 0.5)
    return 0.0 if float(part.detach()) != 0 else NOT_MEASURED


def _gradients(loss: Tensor, weights: Sequence[nn.Parameter]) -> list[Tensor | None]:
    """Gradients of the global batch, in float32; None for a weight that no process reaches."""
    found: Sequence[Tensor | None] = (None,) * len(weights)
    if loss.requires_grad:
        found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    if world_size() == 1:
        return [None if gradient is None else gradient.float() for gradient in found]
    averaged: list[Tensor | None] = []
    for weight, gradient in zip(weights, found, strict=True):
        own = torch.zeros_like(weight) if gradient is None else gradient
        total = global_sum(own.detach().float()) / world_size()
        averaged.append(total if bool(total.any()) else None)
    return averaged
