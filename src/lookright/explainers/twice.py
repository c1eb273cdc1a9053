"""Operations that PyTorch differentiates only once, or twice but slowly, replaced by equal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from lookright.explainers.double_backward import batch_norm, conv2d


def _hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    return F.relu6(x + 3) / 6


def _mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Of a grid as a sum: the gradient of a mean is written for each cell, that of a sum is not."""
    dim = kwargs.get("dim", args[0] if args else None)
    dims = {dim} if isinstance(dim, int) else set(dim or ())
    if x.ndim != 4 or {d % 4 for d in dims} != {2, 3}:
        return x.mean(*args, **kwargs)
    return x.sum(*args, **kwargs) / (x.shape[2] * x.shape[3])


def _adaptive_avg_pool(x: Tensor, output_size: Any) -> Tensor:
    if x.ndim != 4 or output_size not in (1, (1, 1), [1, 1]):
        return F.adaptive_avg_pool2d(x, output_size)
    return _mean(x, (2, 3), keepdim=True)


class _Replace(TorchFunctionMode):
    _equal: dict[Callable[..., Any], Callable[..., Any]] = {  # noqa: RUF012 (a constant, never changed)
        F.hardsigmoid: _hardsigmoid,
        torch._C._nn.hardsigmoid: _hardsigmoid,
        torch._C._nn.hardsigmoid_: _hardsigmoid,
        F.conv2d: conv2d,
        F.batch_norm: batch_norm,
        F.adaptive_avg_pool2d: _adaptive_avg_pool,
        torch.mean: _mean,
        torch.Tensor.mean: _mean,
    }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._equal.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within this context, hardsigmoid and fused attention have second derivatives, and all are quick.

    `hardsigmoid` has no double backward, nor have the fused attention kernels; relu6(x + 3) / 6 and the
    plain ("math") attention kernel compute the same and have. Those of convolution and BatchNorm are replaced
    by quicker ones (see `double_backward`), means over the grid by sums.

    Example:
        >>> x = torch.zeros(1, requires_grad=True)
        >>> with twice_differentiable():
        ...     (slope,) = torch.autograd.grad(F.hardsigmoid(x) ** 2, x, create_graph=True)
        >>> torch.autograd.grad(slope, x)[0]  # 2 / 36
        tensor([0.0556])
    """
    with sdpa_kernel(SDPBackend.MATH), _Replace():
        yield
