"""LayerNorm whose gradient is itself differentiated quickly: PyTorch's writes its input's size 45 times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lookright.explainers.double_backward import weights_are_asked_for

_aten = torch.ops.aten


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise, as `torch.nn.functional.layer_norm`: y = w z + b, z = (x - mean) s.

    With s = 1 / sqrt(var + eps), m the mean over the last dimension, g the gradient of y and h = w g, the
    first backward pass gives

        dx = T(h),    dw = sum g z,    db = sum g,    T(h) = s (h - m(h) - z m(h z))

    T is linear and its own adjoint. With u, p, q the gradients of dx, dw, db, the second one gives

        dg = w T(u) + p z + q,    dw = sum g T(u)
        dx = T(p g) - s (m(h z) T(u) + m(u z) T(h) + m(h T(u)) z)

    Over several dimensions, in half precision and of mixed dtypes this is PyTorch's own.

    Example:
        >>> x = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradgradcheck(lambda x: layer_norm(x, (4,)), x)
        True
    """
    given = (input, weight, bias)
    x, w, b = (_as_autocast(t) for t in given)
    if x is None or not _is_ours(x, w, b, normalized_shape):
        return F.layer_norm(input, normalized_shape, weight, bias, eps)
    y: Tensor = _LayerNorm.apply(x, w, b, eps)
    return y


def _as_autocast(x: Tensor | None) -> Tensor | None:
    """Cast as autocast casts what is given to LayerNorm: to float32 on a GPU, not at all on a CPU."""
    if x is None or x.device.type != "cuda" or x.dtype not in (torch.float16, torch.bfloat16):
        return x
    return x.float() if torch.is_autocast_enabled("cuda") else x


def _is_ours(x: Tensor, weight: Tensor | None, bias: Tensor | None, normalized_shape: Sequence[int]) -> bool:
    return (
        x.device.type in ("cpu", "cuda")
        and x.dtype in (torch.float32, torch.float64)
        and x.numel() > 0
        and all(t is None or t.dtype == x.dtype for t in (weight, bias))
        and tuple(normalized_shape) == tuple(x.shape[-1:])
    )


def _row_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Average over the last dimension, each entry multiplied by its weight."""
    if weight is None:
        return values.mean(dim=-1, keepdim=True)
    return (values @ weight).unsqueeze(-1) / values.shape[-1]


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y, mean, s = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, s)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, bias, mean, s = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        wanted = tuple(need and (i == 0 or weights_are_asked_for()) for i, need in enumerate(needed))
        found = _LayerNormGradient.apply(gradients[0], x, weight, bias, mean, s, ctx.eps, wanted)
        return *found, None


class _LayerNormGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        s: Tensor,
        eps: float,
        wanted: tuple[bool, bool, bool],
    ) -> Any:
        ctx.save_for_backward(g, x, weight, mean, s)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return _aten.native_layer_norm_backward(g, x, x.shape[-1:], mean, s, weight, bias, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        g, x, weight, mean, s = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            found = _second(g, x.contiguous(), weight, mean, s, ctx.eps, gradients, ctx.needs_input_grad[:3])
        return *found, *[None] * 5


def _second(
    g: Tensor,
    x: Tensor,
    weight: Tensor | None,
    mean: Tensor,
    s: Tensor,
    eps: float,
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of g, x and weight, from those of dx, dw and db."""

    def transformed(values: Tensor, by: Tensor | None) -> Tensor:
        """T(by * values)."""
        found: Tensor = _aten.native_layer_norm_backward(
            values, x, x.shape[-1:], mean, s, by, None, [True, False, False]
        )[0]
        return found

    u, p, q = gradients
    of_g, of_x, of_weight = needed
    z = torch.native_layer_norm(x, x.shape[-1:], None, None, eps)[0]
    found_g, found_x, found_weight = None, None, None
    if u is not None:
        of_u = transformed(u, None)
        if of_g:
            found_g = of_u.clone() if weight is None else of_u * weight
        if of_x or of_weight:
            product = g * of_u
            if of_weight:
                found_weight = product.reshape(-1, product.shape[-1]).sum(dim=0)
            if of_x:
                found_x = of_u.mul_(-s * _row_mean(g * z, weight))
                found_x.addcmul_(transformed(g, weight), -s * _row_mean(u * z))
                found_x.addcmul_(z, -s * _row_mean(product, weight))
    if p is not None:
        if of_g:
            found_g = p * z if found_g is None else found_g.addcmul_(z, p)
        if of_x:
            of_p = transformed(g, p)
            found_x = of_p if found_x is None else found_x.add_(of_p)
    if q is not None and of_g:
        found_g = q.expand_as(g) if found_g is None else found_g.add_(q)
    return found_g, found_x, found_weight
