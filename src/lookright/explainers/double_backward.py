"""Convolution and BatchNorm whose gradients are themselves differentiated quickly on a CPU.

PyTorch differentiates the gradient of a convolution group by group, and that of BatchNorm in some thirty
passes over memory. Both have double backward passes that are made of their plain passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_aten = torch.ops.aten

_SITES_ALONE = "lookright.sites_alone"
"""whether gradients of weights are left out: a backward pass of one's own cannot know who asks for them.
torch keeps it for each thread, and hands it on to those in which autograd runs backward passes"""


@contextmanager
def sites_alone() -> Iterator[None]:
    """Within this context a backward pass gives no gradients of weights: those of layers and images alone."""
    before = not weights_are_asked_for()
    torch._C._stash_obj_in_tls(_SITES_ALONE, True)
    try:
        yield
    finally:
        torch._C._stash_obj_in_tls(_SITES_ALONE, before)


def weights_are_asked_for() -> bool:
    """Whether a backward pass gives gradients of weights: it does outside `sites_alone`, and compiled."""
    if torch.compiler.is_compiling() or not torch._C._is_key_in_tls(_SITES_ALONE):
        return True
    return not torch._C._get_obj_in_tls(_SITES_ALONE)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    r"""Convolve, as `torch.nn.functional.conv2d`: y = w * x + b, x being the input.

    With g the gradient of y, the first backward pass gives dx = w^T g and dw = corr(x, g). Both are bilinear,
    so with u and v the gradients of dx and dw the second one gives

        dg = w * u + v * x,    dw = corr(u, g),    dx = v^T g

    which are forward and backward passes of convolutions of the same shape.

    Example:
        >>> x = torch.rand(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
        >>> w = torch.rand(4, 1, 3, 3, dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradgradcheck(lambda x, w: conv2d(x, w, groups=4), (x, w))
        True
    """
    if not _is_ours(input) or isinstance(padding, str):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    y: Tensor = _Convolution.apply(input, weight, (_pair(stride), _pair(padding), _pair(dilation), groups))
    return y if bias is None else y + bias.view(-1, 1, 1)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise, as `torch.nn.functional.batch_norm`: y = w z + b, z = (x - mean) s of input x.

    With s = 1 / sqrt(var + eps), m the mean over images and places, and g the gradient of y, the first
    backward pass gives

        dx = w s (g - m(g) - z m(g z)),    dw = sum g z,    db = sum g

    in training, and w s g in evaluation. It is linear in g and its own adjoint. With u, p, q the gradients of
    dx, dw, db and a = m(u z), b = m(g z), c = m(u g) - m(u) m(g) - a b, the second one gives in training

        dg = w s (u - m(u) - z a) + p z + q,    dw = n s c
        dx = s (h - m(h) - z (m(h z) + w s c)),    h = (p - w s a) g - w s b u

    Example:
        >>> x = torch.rand(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradgradcheck(lambda x: batch_norm(x, None, None, training=True), x)
        True
    """
    other_type = not input.is_floating_point() or (weight is not None and weight.dtype != input.dtype)
    if other_type or not _is_ours(input):
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    y: Tensor = _BatchNorm.apply(input, weight, bias, running_mean, running_var, training, momentum, eps)
    return y


def _is_ours(x: Tensor) -> bool:
    """Measured on CPUs alone; autocast casts what PyTorch's own functions are given."""
    return x.device.type == "cpu" and x.ndim == 4 and not torch.is_autocast_enabled("cpu")


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else [int(v) for v in value]


_Geometry = tuple[list[int], list[int], list[int], int]
"""stride, padding, dilation, groups"""


def _convolve(x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    stride, padding, dilation, groups = geometry
    y: Tensor = _aten.convolution(x, weight, None, stride, padding, dilation, False, [0, 0], groups)
    return y


def _convolution_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = geometry
    of_x, of_weight, _ = _aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [*wanted, False]
    )
    return of_x, of_weight


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _convolve(x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight = ctx.saved_tensors
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1] and weights_are_asked_for())
        return *_ConvolutionGradient.apply(gradients[0], x, weight, ctx.geometry, wanted), None


class _ConvolutionGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry, wanted: tuple[bool, bool]
    ) -> Any:
        ctx.save_for_backward(gradient, x, weight)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return _convolution_gradients(gradient, x, weight, geometry, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient, x, weight = ctx.saved_tensors
        of_gradient, of_x, of_weight = ctx.needs_input_grad[:3]
        u, v = gradients
        found: list[Tensor | None] = [None, None, None]
        if u is not None and of_gradient:
            found[0] = _convolve(u, weight, ctx.geometry)
        if u is not None and of_weight:
            found[2] = _convolution_gradients(gradient, u, weight, ctx.geometry, (False, True))[1]
        if v is not None and of_gradient:
            second = _convolve(x, v, ctx.geometry)
            found[0] = second if found[0] is None else found[0] + second
        if v is not None and of_x:
            found[1] = _convolution_gradients(gradient, x, v, ctx.geometry, (True, False))[0]
        return *found, None, None


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, scale = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, training, momentum, eps
        )
        if not training and running_mean is not None and running_var is not None:
            mean, scale = running_mean.clone(), (running_var + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.training, ctx.eps = training, eps
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, mean, scale = ctx.saved_tensors
        found = _BatchNormGradient.apply(gradients[0], x, weight, mean, scale, ctx.training, ctx.eps)
        needed = ctx.needs_input_grad[:3]
        wanted = [need and (i == 0 or weights_are_asked_for()) for i, need in enumerate(needed)]
        return *(g if want else None for g, want in zip(found, wanted, strict=True)), *[None] * 5


class _BatchNormGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        x: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        training: bool,
        eps: float,
    ) -> Any:
        found = _batch_norm_gradients(gradient, x, weight, mean, scale, training, eps)
        ctx.save_for_backward(gradient, x, weight, mean, scale, *(g.detach() for g in found[1:]))
        ctx.training, ctx.eps = training, eps
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        g, x, weight, mean, s, sum_gz, sum_g = ctx.saved_tensors
        u, p, q = gradients
        n = x.numel() // x.shape[1]
        ws = s if weight is None else weight * s
        zero = torch.zeros_like(s)
        p, q = (zero if t is None else t for t in (p, q))
        if u is None:
            of_g, sum_uz, sum_u, sum_ug = None, zero, zero, zero
        else:
            of_g, sum_uz, sum_u = _batch_norm_gradients(u, x, weight, mean, s, ctx.training, ctx.eps)
            sum_ug = (u * g).sum(dim=(0, 2, 3))
        if gradients[1] is not None or gradients[2] is not None:
            affine = _combine((x, p * s), constant=q - p * s * mean)
            of_g = affine if of_g is None else of_g + affine
        if not ctx.training:
            return of_g, _combine((g, p * s)), None if weight is None else s * sum_ug, *[None] * 4
        a, b = sum_uz / n, sum_gz / n
        c = (sum_ug - sum_u * sum_g / n) / n - a * b
        of_u, of_gradient = -ws * b, p - ws * a
        mean_h = (of_u * sum_u + of_gradient * sum_g) / n
        of_z = -(of_u * a + of_gradient * b + ws * c)
        terms = [(g, s * of_gradient), (x, s * s * of_z)]
        if u is not None:
            terms.append((u, s * of_u))
        of_x = _combine(*terms, constant=-s * (mean_h + s * of_z * mean))
        return of_g, of_x, None if weight is None else n * s * c, *[None] * 4


def _batch_norm_gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor | None,
    mean: Tensor,
    scale: Tensor,
    training: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias, the two latter also where there are none: they are sums."""
    # In evaluation the kernel takes 1 / sqrt(var + eps) of the running variance: put so that it is the scale.
    running = (None, None) if training else (mean, scale.pow(-2) - eps)
    weight = torch.ones_like(scale) if weight is None else weight
    found: tuple[Tensor, Tensor, Tensor] = _aten.native_batch_norm_backward(
        gradient, x, weight, *running, mean, scale, training, eps, [True, True, True]
    )
    return found


def _combine(*terms: tuple[Tensor, Tensor], constant: Tensor | None = None) -> Tensor:
    """Sum maps, each multiplied by a number per channel, and such a number."""
    (first, weight), *rest = terms
    total = first * weight.view(-1, 1, 1)
    if constant is not None:
        total += constant.view(-1, 1, 1)
    for values, weight in rest:
        total.addcmul_(values, weight.view(-1, 1, 1))
    return total
