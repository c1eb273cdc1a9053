"""A check that the explanation loss reaches the weights that it should.

Leaving second order out fails silently: the explanation still requires grad and the loss still falls, but
the layers above the target layer get nothing from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lookright.losses.reduce import global_sum


@dataclass(frozen=True)
class Reach:
    """Which trained weights the explanation loss moves. Biases are left out: a map can be blind to them."""

    reached: tuple[str, ...]
    """names of the weights that get a gradient"""
    missed: tuple[str, ...]
    """names of the weights that get none, or exactly zero"""

    def warning(self, second_order: bool) -> str | None:
        """Say what is wrong and what to do, or None where nothing is."""
        if not self.missed:
            return None
        shown = ", ".join(self.missed[:4]) + (
            f" and {len(self.missed) - 4} more" if len(self.missed) > 4 else ""
        )
        total = len(self.missed) + len(self.reached)
        what = f"the explanation loss does not reach {len(self.missed)} of {total} trained weights ({shown})"
        if not self.reached:
            what += "; it has no effect on this run"
        if all("imputer" in name for name in self.missed):
            return (
                f"{what}: the imputer cannot learn; leave published_init out or take another seed, and with "
                "stop_gradient give it a regularizer"
            )
        if not second_order:
            return f"{what}: second_order is false; set it to true to reach the layers above the target layer"
        return f"{what}: check target_layer, and that nothing on the way is detached"


def check_reach(explanation_loss: Tensor, module: nn.Module) -> Reach | None:
    """See which trained weights (of two or more dimensions) an explanation loss reaches.

    Keeps the graph, leaves `.grad` alone.

    Args:
        explanation_loss: scalar, in the graph
        module: whose weights

    Returns:
        None where the loss is zero (nothing annotated, or within the slack): it says nothing then.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> hidden = network[0](torch.ones(1, 2))
        >>> check_reach(hidden.square().sum(), network).missed
        ('1.weight',)
    """
    if not explanation_loss.requires_grad:
        zero = float(explanation_loss) == 0
        names = tuple(n for n, p in module.named_parameters() if p.requires_grad and p.ndim >= 2)
        return None if zero else Reach((), names)
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad and p.ndim >= 2]
    gradients = torch.autograd.grad(
        explanation_loss, [p for _, p in trained], retain_graph=True, allow_unused=True
    )
    # A process without an annotated image of its own gets nothing: what counts is all of them together.
    counts = [torch.zeros(()) if g is None else g.count_nonzero().cpu().float() for g in gradients]
    moved = (global_sum(torch.stack(counts).to(explanation_loss.device)) > 0).tolist()
    if float(explanation_loss.detach()) == 0 and not any(moved):
        return None
    return Reach(
        reached=tuple(n for (n, _), m in zip(trained, moved, strict=True) if m),
        missed=tuple(n for (n, _), m in zip(trained, moved, strict=True) if not m),
    )
