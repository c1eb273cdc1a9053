"""Weights of explanation losses that do not depend on their scale."""

from __future__ import annotations

import statistics

import torch
from torch import Tensor, nn

from lookright.losses import Objective, ObjectiveResult
from lookright.losses.reduce import global_sum


class GradientRatio:
    r"""Scales the balanced terms of an objective, so that a weight is a ratio of gradients.

        scale_i = median over the first steps of  |grad prediction loss| / |grad explanation_loss_i|

    Norms are taken over the trained weights of the network that the term reaches. The running median is in
    force from the first step; after `steps` steps it stays. So a weight of 1 means that explanation and
    prediction pull equally hard at the start, whatever the unit of the loss, the batch size or the number of
    cells. (GradNorm, Chen et al., ICML 2018, and the adaptive weight of VQGAN, Esser et al., CVPR 2021, go on
    balancing; a weight that stays keeps the objective one function.)

    Args:
        objective: whose `scale` is set
        steps: how many steps are measured

    Example:
        >>> from lookright.losses import GRADIA, Objective, Term
        >>> GradientRatio(Objective([Term(GRADIA(), 1.0, balanced=True)])).is_open
        True
    """

    def __init__(self, objective: Objective, steps: int = 20) -> None:
        self.objective = objective
        self.steps = steps
        self.ratios: list[list[float]] = [[] for _ in objective.terms]

    @property
    def is_open(self) -> bool:
        """Whether it still measures."""
        pending = (
            len(ratios) < self.steps
            for ratios, term in zip(self.ratios, self.objective.terms, strict=True)
            if term.balanced
        )
        return self.objective.training and any(pending)

    def close(self) -> None:
        """Measure no more: the scales stay."""
        self.steps = 0

    def measure(self, result: ObjectiveResult, network: nn.Module) -> None:
        """Take one step into account. Keeps the graph, leaves `.grad` alone.

        Args:
            result: of the objective, in the graph
            network: whose trained weights count
        """
        weights = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]
        prediction = _gradients(result.prediction_loss, weights)
        for i, (part, balanced) in enumerate(zip(result.parts, self.objective.balanced, strict=True)):
            if not balanced:
                continue
            explanation = _gradients(part, weights)
            reached = [p for p, e in zip(prediction, explanation, strict=True) if e is not None]
            pull, pull_of_part = _square(reached, part), _square(explanation, part)
            if float(pull_of_part) > 0 and float(pull) > 0:
                self.ratios[i].append(float((pull / pull_of_part).sqrt()))
                self.objective.scale[i] = statistics.median(self.ratios[i])


def _gradients(loss: Tensor, weights: list[nn.Parameter]) -> tuple[Tensor | None, ...]:
    if not loss.requires_grad:
        return (None,) * len(weights)
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def _square(gradients: list[Tensor | None] | tuple[Tensor | None, ...], like: Tensor) -> Tensor:
    """Sum of squares over all gradients and processes."""
    squares = [g.float().square().sum() for g in gradients if g is not None]
    return global_sum(torch.stack(squares).sum() if squares else torch.zeros((), device=like.device))
