"""Floating-point operations: how many a step takes, and how many this machine can do in a second."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from lookright.bench.timing import synchronize, timed


def count_flops(call: Callable[[], object]) -> int:
    """Count the operations of convolutions and matrix products in a call, a multiply-add as two.

    Backward passes of any order are counted where they run within the call. What works value by value
    (BatchNorm, ReLU, the optimizer) is not counted.

    Example:
        >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
        60
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def product_rate(size: int, device: torch.device) -> Callable[[], float]:
    """Make a variant for `take_turns` that measures the rate of a large matrix product.

    Args:
        size: of two square float32 matrices
        device: where they are

    Returns:
        a function that gives FLOP per second
    """
    left, right = torch.rand(size, size, device=device), torch.rand(size, size, device=device)

    def product() -> None:
        torch.mm(left, right)
        synchronize(device)

    seconds = timed(product, repeat=3)
    return lambda: 2 * size**3 / seconds()
