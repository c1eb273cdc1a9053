"""A loss or weights that are not finite, noticed without waiting for a GPU in every step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lookright.engine.supervised import Step
from lookright.errors import NonFiniteError
from lookright.types import Batch

_REMEDY = "the run is kept up to the epoch before; try a smaller --lr, or --precision 32"


class _Noted(NamedTuple):
    ids: tuple[str, ...]
    loss: Tensor
    fine: Tensor
    """(3,) bool: whether loss, logits and prediction loss are finite"""


class FiniteCheck:
    """Looks at the losses of an epoch: on a CPU at once, on other devices when the epoch is over.

    An epoch that fails is never kept, so that nothing is lost by noticing at its end.

    Args:
        at_once: whether a step may wait for its loss

    Example:
        >>> check = FiniteCheck(at_once=False)
        >>> check.end(epoch=0)
    """

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self._noted: list[_Noted] = []

    def add(self, loss: Tensor, step: Step, batch: Batch, epoch: int) -> None:
        """Note one step.

        Raises:
            NonFiniteError: its loss is not finite, and it is looked at at once.
        """
        if self.at_once and bool(torch.isfinite(loss)):
            return
        told = (loss, step.logits, step.prediction_loss)
        fine = torch.stack([torch.isfinite(tensor).all() for tensor in told])
        self._noted.append(_Noted(batch.id, loss.detach(), fine))
        if self.at_once:
            self.end(epoch)

    def end(self, epoch: int) -> None:
        """Look at what was noted in an epoch, and forget it.

        Raises:
            NonFiniteError: a loss is not finite; it names the epoch and images of the first such batch.
        """
        noted, self._noted = self._noted, []
        if not noted:
            return
        for one, (loss, logits, prediction) in zip(
            noted, torch.stack([each.fine for each in noted]).tolist(), strict=True
        ):
            if loss:
                continue
            if not logits:
                cause = "the network's outputs are not finite"
            elif not prediction:
                cause = "the prediction loss is not finite"
            else:
                cause = "the explanation loss is not finite"
            shown = ", ".join(one.ids[:4]) + (", ..." if len(one.ids) > 4 else "")
            raise NonFiniteError(
                f"epoch {epoch}: the loss is {float(one.loss)} because {cause} (batch with {shown}); "
                f"{_REMEDY}"
            )


def check_weights(weights: Iterable[Tensor], epoch: int) -> None:
    """Keep an epoch out of the checkpoints whose last step spoiled the weights.

    Raises:
        NonFiniteError: a weight is not finite.
    """
    if not bool(torch.stack([torch.isfinite(weight).all() for weight in weights]).all()):
        raise NonFiniteError(f"epoch {epoch}: the weights are not finite after its last step; {_REMEDY}")
