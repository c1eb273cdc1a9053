"""Network and objective as one module, so that the training loop never learns what the loss is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lookright.engine.guard import Reach, check_reach
from lookright.engine.trunk import FrozenTrunk
from lookright.engine.weighting import GradientRatio
from lookright.errors import ConfigError
from lookright.explainers import Explainer, explain, explainers_for
from lookright.losses import Objective
from lookright.types import Batch, Explained


class Step(NamedTuple):
    """What one supervised forward pass gives."""

    logits: Tensor
    """(B, K)"""
    total: Tensor
    """scalar: prediction_loss + explanation_loss"""
    prediction_loss: Tensor
    """scalar"""
    explanation_loss: Tensor | None
    """scalar; None where nothing is supervised"""
    facts: dict[str, Tensor]
    """name -> scalar without gradient, for the log"""
    explanation_losses: tuple[Tensor, ...] = ()
    """scalars without gradient: the explanation losses as they are, before weights"""


class SupervisedModel(nn.Module):
    """One forward pass for logits, explanations and objective.

    The explanation is computed *inside* this module's forward, so that wrapping it (Fabric, DDP, mixed
    precision) wraps all of it.

    Args:
        network: image -> logits
        explainer: explains `network`; None where the objective supervises nothing. Losses that are defined
            on an explainer of their own get that one.
        objective: prediction loss and explanation losses
        trunk: features of the frozen part, where they are cached
        exchange: the context in which batches run in training, where features are exchanged between images

    Attributes:
        guarded: whether a forward pass also finds out what the explanation loss reaches
        reach: what it found
        ratio: sets the scale of the balanced terms of the objective while it is open

    Raises:
        ConfigError: a loss is defined on an explainer that does not fit the network; there is no explainer
            where the objective needs one.

    Example:
        >>> import torch
        >>> from lookright.explainers import GradCAM
        >>> from lookright.losses import RES, Term
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> model = SupervisedModel(network, GradCAM(network, image_size=32), Objective([Term(RES())]))
        >>> label, annotated = torch.tensor([0, 1]), torch.tensor([True, False])
        >>> batch = Batch(torch.rand(2, 3, 32, 32), label, torch.ones(2, 1, 32, 32), annotated, ("a", "b"))
        >>> model(batch).total.backward()
    """

    def __init__(
        self,
        network: nn.Module,
        explainer: Explainer | None,
        objective: Objective,
        trunk: FrozenTrunk | None = None,
        exchange: Callable[[Batch], AbstractContextManager[None]] | None = None,
    ) -> None:
        super().__init__()
        if explainer is None and objective.requests:
            names = ", ".join(type(loss).__name__ for loss in objective.losses)
            raise ConfigError(
                f"explainer: missing, and the objective supervises explanations ({names}); give "
                "GradCAM(network), say"
            )
        self.trunk = trunk
        self.network = network
        self.explainer = explainer
        self.objective = objective
        self.explainers = {} if explainer is None else explainers_for(objective.requests, explainer)
        self.ratio = GradientRatio(objective)
        self.exchange = exchange
        self.guarded = False
        self.reach: Reach | None = None

    def forward(self, batch: Batch) -> Step:
        """Run the network once and compute the objective."""
        exchange = self.exchange if self.training else None
        with (
            self.trunk.serving(batch) if self.trunk else nullcontext(),
            exchange(batch) if exchange else nullcontext(),
        ):
            if self.explainers:
                explained = explain(
                    self.network,
                    batch.image,
                    batch.label,
                    self.explainers,
                    rows=batch.rows,
                    region=_region(batch) if self._explains_regions else None,
                )
            else:
                explained = Explained(self.network(batch.image), {})
        result = self.objective(batch, explained)
        if self.training and self.ratio.is_open:
            self.ratio.measure(result, self.network)
            result = self.objective.weigh(result.prediction_loss, result.parts, result.facts)
        if self.guarded and result.explanation_loss is not None:
            # In here: what leaves a module that Fabric wraps is for `fabric.backward` alone.
            # Before weights: a scale that is still 0 says nothing about the reach.
            self.reach = check_reach(torch.stack(result.parts).sum(), self)
        return Step(
            explained.logits.detach(),
            result.total,
            result.prediction_loss,
            result.explanation_loss,
            result.facts,
            tuple(part.detach() for part in result.parts),
        )

    @property
    def _explains_regions(self) -> bool:
        return any(explainer.needs.region for explainer in self.explainers.values())


def _region(batch: Batch) -> Tensor:
    """Where the evidence must not be, (B, 1, H, W) bool: what any annotation of the image marks negative."""
    negative = batch.annotation < 0
    if batch.rows is None:
        return negative
    union = torch.zeros(len(batch.image), *negative.shape[1:], device=negative.device)
    return union.index_add(0, batch.rows.image, negative.float()) > 0
