"""The operations of a network, told to the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.explainers.propagation.activations import ACTIVATIONS
from lookright.explainers.propagation.pair import Pair, Refused, Rules, Window

Output = Pair | tuple[Pair, ...]

METADATA = frozenset(
    {
        "shape",
        "dtype",
        "device",
        "ndim",
        "requires_grad",
        "is_cuda",
        "is_leaf",
        "layout",
        "is_quantized",
        "is_sparse",
        "size",
        "dim",
        "ndimension",
        "numel",
        "nelement",
        "is_floating_point",
        "is_complex",
        "get_device",
    }
)
"""What is asked of the tensor itself"""

VIEWS = frozenset(
    {
        "flatten",
        "unflatten",
        "reshape",
        "view",
        "permute",
        "transpose",
        "swapaxes",
        "movedim",
        "squeeze",
        "unsqueeze",
        "expand",
        "contiguous",
        "__getitem__",
        "narrow",
        "chunk",
        "split",
        "unbind",
        "to",
        "float",
    }
)
"""Linear operations that may share memory with their input"""

AVERAGES = frozenset(
    {
        "clone",
        "mean",
        "sum",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
    }
)
"""Linear operations without negative coefficients"""


def operation_name(func: Callable[..., Any]) -> str:
    """Name an operation the same as a function, a method, or the getter of a property."""
    name = getattr(func, "__name__", str(func))
    return str(getattr(func, "__self__", func).__name__) if name == "__get__" else name


def run(rules: Rules, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Any) -> Output:
    """Let the rules pass one operation.

    Raises:
        Refused: the operation is not among the supported ones.
    """
    if "input" in kwargs:
        args, kwargs = (kwargs["input"], *args), {k: v for k, v in kwargs.items() if k != "input"}
    if name in ACTIVATIONS:
        return rules.activation(args[0], ACTIVATIONS[name](*args[1:], **kwargs))
    if name in VIEWS or name in AVERAGES:
        return _parts(rules, func, name, *args, **kwargs)
    if name not in _HANDLERS:
        raise Refused("")
    handler = _HANDLERS[name]
    try:
        signature(handler).bind(rules, *args, **kwargs)
    except TypeError as error:
        raise Refused(f"({error})") from None
    return handler(rules, *args, **kwargs)


def _parts(rules: Rules, func: Callable[..., Any], name: str, x: Pair, *args: Any, **kwargs: Any) -> Output:
    if any(isinstance(value, Pair) for value in (*args, *kwargs.values())):
        raise Refused("with two activations")
    if name in ("chunk", "split", "unbind"):
        count = len(func(x.first, *args, **kwargs))
        return tuple(
            rules.linear((x,), lambda part, k=k: func(part, *args, **kwargs)[k]) for k in range(count)
        )
    return rules.linear((x,), lambda part: func(part, *args, **kwargs))


def _convolution(
    function: Callable[..., Tensor],
    dimensions: int,
    rules: Rules,
    x: Pair,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Pair:
    if isinstance(weight, Pair) or isinstance(bias, Pair) or not isinstance(x, Pair):
        raise Refused("with weights computed from the image")
    return rules.linear(
        (x,),
        lambda part: function(part, weight, None, *args, **kwargs),
        lambda part: function(part, weight.abs(), None, *args, **kwargs),
        None if bias is None else bias.view(-1, *[1] * dimensions),
    )


def _linear(rules: Rules, x: Pair, weight: Tensor, bias: Tensor | None = None) -> Pair:
    return _convolution(F.linear, 0, rules, x, weight, bias)


def _batch_norm(
    rules: Rules,
    x: Pair,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Pair:
    if training or running_mean is None or running_var is None:
        raise Refused("with the statistics of the batch")
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    constant = -running_mean * scale if bias is None else bias - running_mean * scale
    shape = (-1, *[1] * (x.first.ndim - 2))
    scale = scale.view(shape)
    return rules.linear(
        (x,), lambda part: part * scale, lambda part: part * scale.abs(), constant.view(shape)
    )


def _max_pool(
    rules: Rules,
    x: Pair,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pair:
    if return_indices:
        raise Refused("with indices")
    if x.first.ndim != 4:
        raise Refused(f"of {x.first.ndim}-dimensional activations")
    step = stride or kernel_size
    return rules.max_pool(
        x, Window(_two(kernel_size), _two(step), _two(padding), _two(dilation), bool(ceil_mode))
    )


def _two(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _dropout(rules: Rules, x: Pair, p: float = 0.5, training: bool = True) -> Pair:
    if training and p > 0:
        raise Refused("that stays on in evaluation mode")
    return x


def _pad(rules: Rules, x: Pair, pad: Any, mode: str = "constant", value: float | None = None) -> Pair:
    if mode == "constant" and value:
        raise Refused(f"with the value {value}")
    return rules.linear((x,), lambda part: F.pad(part, pad, mode))


def _cat(rules: Rules, tensors: Sequence[Pair | Tensor], dim: int = 0) -> Pair:
    pairs = tuple(x for x in tensors if isinstance(x, Pair))
    if len(pairs) < len(tensors):
        raise Refused("with a constant tensor")
    return rules.linear(pairs, lambda *parts: torch.cat(parts, dim))


def _add(rules: Rules, a: Any, b: Any, *, alpha: float = 1) -> Pair:
    if alpha != 1:
        raise Refused(f"with alpha = {alpha}")
    if isinstance(a, Pair) and isinstance(b, Pair):
        return rules.linear((a, b), torch.add)
    x, constant = (a, b) if isinstance(a, Pair) else (b, a)
    return rules.linear((x,), partial(_expand, to=constant), constant=constant)


def _sub(rules: Rules, a: Any, b: Any, *, alpha: float = 1) -> Pair:
    if isinstance(a, Pair) and isinstance(b, Pair) and alpha == 1:
        return rules.linear((a, b), torch.sub, torch.add)
    if isinstance(a, Pair):
        return _add(rules, a, -b, alpha=alpha)
    return _add(rules, a, rules.linear((b,), torch.neg, torch.positive), alpha=alpha)


def _expand(part: Tensor, to: Tensor | float) -> Tensor:
    return part + torch.zeros_like(to) if isinstance(to, Tensor) else part


def _mul(rules: Rules, a: Any, b: Any) -> Pair:
    if isinstance(a, Pair) and isinstance(b, Pair):
        raise Refused("of two activations (a gate)")
    x, factor = (a, b) if isinstance(a, Pair) else (b, a)
    return rules.linear((x,), lambda part: part * factor, lambda part: part * abs(factor))


def _div(rules: Rules, a: Any, b: Any) -> Pair:
    if isinstance(b, Pair):
        raise Refused("by an activation")
    return rules.linear((a,), lambda part: part / b, lambda part: part / abs(b))


_HANDLERS: dict[str, Callable[..., Output]] = {
    "conv1d": partial(_convolution, F.conv1d, 1),
    "conv2d": partial(_convolution, F.conv2d, 2),
    "conv3d": partial(_convolution, F.conv3d, 3),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool,
    "dropout": _dropout,
    "dropout1d": _dropout,
    "dropout2d": _dropout,
    "dropout3d": _dropout,
    "pad": _pad,
    "cat": _cat,
    "concat": _cat,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
}
