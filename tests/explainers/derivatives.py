"""Values, gradients and gradients of gradients of a function, and how much memory is written for them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

Function = Callable[..., Tensor]

SOME_OF_THREE = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1) if a or b or c]
"""which of three inputs or gradients, 1 or 0 for each"""


def check_where_needed(function: Function, inputs: Sequence[Tensor], needed: Sequence[int]) -> None:
    """Hold both derivatives to finite differences where some of the inputs alone need gradients."""
    for x, need in zip(inputs, needed, strict=True):
        x.requires_grad_(bool(need))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def second_derivatives(function: Function, inputs: Sequence[Tensor], used: Sequence[int]) -> list[Tensor]:
    """Differentiate a sum of some of the gradients of the inputs alone."""
    gradients = torch.autograd.grad(function(*inputs).pow(3).sum(), inputs, create_graph=True)
    total = sum(g.pow(3).sum() for g, use in zip(gradients, used, strict=True) if use)
    return list(torch.autograd.grad(total, inputs))


def all_derivatives(function: Function, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Give the value, the gradient of each input, and the gradients of random products with those."""
    value, gradients, second = graph(function, inputs)
    return [value, *gradients, *second()]


def graph(
    function: Function, inputs: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], Callable[[], list[Tensor]]]:
    """Run up to the gradients; the gradients of gradients are those of a call."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    random = torch.Generator().manual_seed(7)

    def like(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=random).to(x)

    value = function(*leaves)
    g = like(value).requires_grad_()
    gradients = torch.autograd.grad(value, leaves, g, create_graph=True)
    u = [like(x) for x in gradients]

    def second() -> list[Tensor]:
        return list(torch.autograd.grad(gradients, [g, *leaves], u, allow_unused=True))

    return value, list(gradients), second


class Written(TorchDispatchMode):
    """Counts the bytes that operations write; views write none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not func.is_view:
            outputs = output if isinstance(output, tuple) else (output,)
            self.bytes += sum(x.nbytes for x in outputs if isinstance(x, Tensor))
        return output


def written_twice(function: Function, inputs: Sequence[Tensor]) -> int:
    """Count the bytes that the double backward pass writes."""
    *_, second = graph(function, inputs)
    with Written() as written:
        second()
    return written.bytes


def error(found: Tensor, exact: Tensor) -> float:
    """Length of the difference, relative to that of the exact one."""
    with torch.no_grad():
        return float((found.double() - exact.double()).norm() / exact.double().norm())
