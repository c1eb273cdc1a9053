"""Floating-point operations: how many a step takes, and how many this machine can do in a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lookright.bench.timing import synchronize, timed

Shape = Sequence[int]


def count_flops(call: Callable[[], object]) -> int:
    """Count the operations of convolutions and matrix products in a call, a multiply-add as two.

    Backward passes of any order are counted where they run within the call. What works value by value
    (BatchNorm, ReLU, the optimizer) is not counted.

    Example:
        >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
        60
    """
    with FlopCounterMode(display=False, custom_mapping=_CONVOLUTIONS) as counter:
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


def _forward(
    image: Shape,
    weight: Shape,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    *_: object,
    out_shape: Shape,
    **__: object,
) -> int:
    """Every weight is used once for each cell of the output; of the input, where it is transposed."""
    cells = image[2:] if transposed else out_shape[2:]
    return 2 * image[0] * math.prod(cells) * math.prod(weight)


def _backward(
    gradient: Shape,
    image: Shape,
    weight: Shape,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: object,
    output_mask: Sequence[bool],
    **_: object,
) -> int:
    """As much as the forward pass for the gradient of the input, and again for that of the weights."""
    cells = image[2:] if transposed else gradient[2:]
    return (output_mask[0] + output_mask[1]) * 2 * image[0] * math.prod(cells) * math.prod(weight)


# PyTorch's own formula takes the backward pass of a grouped convolution for that of a dense one.
_CONVOLUTIONS: dict[Any, Any] = {
    torch.ops.aten.convolution: _forward,
    torch.ops.aten._convolution: _forward,
    torch.ops.aten.convolution_backward: _backward,
}
