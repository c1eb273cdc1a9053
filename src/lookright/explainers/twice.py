"""Operations that PyTorch differentiates only once, or twice but slowly, replaced by equal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode, has_torch_function

from lookright.explainers.double_backward import batch_norm, conv2d
from lookright.explainers.double_backward_attention import scaled_dot_product_attention
from lookright.explainers.double_backward_gelu import gelu
from lookright.explainers.double_backward_layer_norm import layer_norm
from lookright.explainers.multi_head import is_output_alone, multi_head_attention


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    return F.relu6(input + 3) / 6


def _mean(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Of a grid as a sum: the gradient of a mean is written for each cell, that of a sum is not."""
    dim = kwargs.get("dim", args[0] if args else None)
    dims = {dim} if isinstance(dim, int) else set(dim or ())
    if input.ndim != 4 or {d % 4 for d in dims} != {2, 3}:
        return input.mean(*args, **kwargs)
    return input.sum(*args, **kwargs) / (input.shape[2] * input.shape[3])


def _adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
    if input.ndim != 4 or output_size not in (1, (1, 1), [1, 1]):
        return F.adaptive_avg_pool2d(input, output_size)
    return _mean(input, (2, 3), keepdim=True)


def _multi_head_attention(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    # Where another mode is on (`capture_attention`), it sees PyTorch's own.
    if has_torch_function(args) or not is_output_alone(*args, **kwargs):
        return F.multi_head_attention_forward(*args, **kwargs)
    return multi_head_attention(_attend, *args, **kwargs)


def _attend(q: Tensor, k: Tensor, v: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    output = scaled_dot_product_attention(q, k, v, *options)
    return output, output.new_empty(())  # there is no attention to give, and none is asked for


class _Replace(TorchFunctionMode):
    _equal: dict[Callable[..., Any], Callable[..., Any]] = {  # noqa: RUF012 (a constant, never changed)
        F.hardsigmoid: _hardsigmoid,
        torch._C._nn.hardsigmoid: _hardsigmoid,
        torch._C._nn.hardsigmoid_: _hardsigmoid,
        F.conv2d: conv2d,
        F.batch_norm: batch_norm,
        F.scaled_dot_product_attention: scaled_dot_product_attention,
        F.multi_head_attention_forward: _multi_head_attention,
        F.layer_norm: layer_norm,
        F.gelu: gelu,
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
    plain ("math") attention kernel compute the same and have. Those of convolution and BatchNorm on a CPU
    (see `double_backward`), and of attention without a mask, LayerNorm and GELU anywhere (see the modules
    beside it), are replaced by quicker ones, means over the grid by sums. Transforms of `torch.func` do not
    know these.

    Example:
        >>> x = torch.zeros(1, requires_grad=True)
        >>> with twice_differentiable():
        ...     (slope,) = torch.autograd.grad(F.hardsigmoid(x) ** 2, x, create_graph=True)
        >>> torch.autograd.grad(slope, x)[0]  # 2 / 36
        tensor([0.0556])
    """
    with sdpa_kernel(SDPBackend.MATH), _Replace():
        yield
