"""Sums over all processes, so that a mean is the mean of the global batch and not of one rank's share."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of processes that train together; 1 where there is no process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def global_sum(local: Tensor) -> Tensor:
    """Sum over the processes, for use under gradient averaging (DDP).

    The value is the global sum on every rank. The gradient with respect to the own share is the number of
    processes, because DDP divides by it: averaged over the ranks it is exactly the gradient of the sum.

    Args:
        local: this rank's share, any shape

    Returns:
        the same shape
    """
    world = world_size()
    if world == 1:
        return local
    total = local.detach().clone()
    dist.all_reduce(total)
    return total + world * (local - local.detach())


def global_mean(values: Tensor, selected: Tensor) -> Tensor:
    """Mean over the cells of the selected rows of all processes; a zero in the graph if there are none.

    Args:
        values: (B, ...) finite
        selected: (B,) bool

    Returns:
        scalar

    Example:
        >>> global_mean(torch.tensor([1.0, 5.0]), torch.tensor([True, False]))
        tensor(1.)
    """
    rows = selected.view(-1, *[1] * (values.ndim - 1))
    total = global_sum((values * rows).sum())
    count = global_sum(selected.sum().to(values.dtype) * values.shape[1:].numel())
    return total / count.clamp(min=1)


def gather_cells(cells: Tensor) -> Tensor:
    """Concatenate (n,) tensors of all processes, each of its own length; no gradient.

    Args:
        cells: (n,) this rank's

    Returns:
        (N,) of all ranks, in rank order
    """
    if world_size() == 1:
        return cells.detach()
    length = torch.tensor([cells.numel()], device=cells.device)
    lengths = [torch.zeros_like(length) for _ in range(world_size())]
    dist.all_gather(lengths, length)
    longest = int(max(int(n) for n in lengths))
    padded = cells.detach().new_zeros(longest)
    padded[: cells.numel()] = cells.detach()
    everyone = [torch.zeros_like(padded) for _ in range(world_size())]
    dist.all_gather(everyone, padded)
    return torch.cat([row[: int(n)] for row, n in zip(everyone, lengths, strict=True)])
