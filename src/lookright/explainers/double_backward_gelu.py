"""GELU whose gradient is itself differentiated in a few passes over memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_aten = torch.ops.aten

_DENSITY = 2 / math.sqrt(2 * math.pi)
"""twice the normal density at 0"""

_FLAT = 50.0
"""from here on the second derivative is 0 in any precision; the cube of x would grow too large"""


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    r"""Apply GELU, as `torch.nn.functional.gelu`: y = x Φ(x), or by tanh as an approximation.

    With g the gradient of y and u that of dx, the backward passes give

        dx = g y'(x);    dg = u y'(x),    dx = u g y''(x)

    with φ the normal density, y''(x) = (2 - x^2) φ(x), or in the approximation, with i = β (x + κ x^3),
    t = tanh i and i' = β (1 + 3 κ x^2),

        y''(x) = (1 - t^2) (β (1 + 6 κ x^2) - t x i'^2)

    In float16, where x^2 is soon infinite, this is PyTorch's own.

    Example:
        >>> x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradgradcheck(gelu, x)
        True
    """
    ours = (torch.float32, torch.float64, torch.bfloat16)
    if input.device.type not in ("cpu", "cuda") or input.dtype not in ours:
        return F.gelu(input, approximate=approximate)
    y: Tensor = _GELU.apply(input, approximate)
    return y


class _GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, approximate: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.approximate = approximate
        return F.gelu(x, approximate=approximate)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _GELUGradient.apply(gradients[0], ctx.saved_tensors[0], ctx.approximate), None


class _GELUGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, approximate: str) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.approximate = approximate
        found: Tensor = _aten.gelu_backward(g, x, approximate=approximate)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        g, x = ctx.saved_tensors
        of_g, of_x = ctx.needs_input_grad[:2]
        u = gradients[0]
        found_g = _aten.gelu_backward(u, x, approximate=ctx.approximate) if of_g else None
        found_x = None
        if of_x:
            second, c = (_second_by_tanh(x), 1.0) if ctx.approximate == "tanh" else (_second(x), _DENSITY)
            # The constant costs no pass of its own: it is a factor of this product.
            found_x = torch.addcmul(x.new_zeros(()), second.mul_(g), u, value=c)
        return found_g, found_x, None


def _second(x: Tensor) -> Tensor:
    """y''(x) / (2 φ(0)) = (1 + r) exp(r), with r = -x^2 / 2."""
    r = _quadratic(x, 0.0, -0.5)
    e = r.exp()
    return e.addcmul_(e, r)


def _second_by_tanh(x: Tensor) -> Tensor:
    x = x.clamp(-_FLAT, _FLAT)
    beta = math.sqrt(2 / math.pi)
    cubic = beta * 0.044715
    t = _quadratic(x, beta, cubic).mul_(x).tanh_()
    bend = _quadratic(x, beta, 3 * cubic).square_().mul_(t).mul_(x)
    return _quadratic(x, beta, 6 * cubic).sub_(bend).mul_(_quadratic(t, 1.0, -1.0))


def _quadratic(x: Tensor, a: float, b: float) -> Tensor:
    """a + b x^2 in one pass."""
    return torch.addcmul(x.new_full((), a), x, x, value=b)
