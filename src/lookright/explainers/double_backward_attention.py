"""Attention whose gradient is itself differentiated quickly.

PyTorch's fused kernels are differentiated once. Its plain one ("math") is differentiated twice: the second
time it writes as much as twenty attention matrices, in float32 whatever the network runs in; ours thirteen.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import has_torch_function

from lookright.precision import as_autocast

_aten = torch.ops.aten


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    r"""Attend, as `torch.nn.functional.scaled_dot_product_attention`: O = P V, P = softmax(s Q K^T).

    With G the gradient of O, and S' its softmax backward S'(D) = P (D - rowsum(P D)), the first backward pass
    gives

        dQ = s H K,    dK = s H^T Q,    dV = P^T G,    H = S'(G V^T)

    With X, Y, Z the gradients of dQ, dK, dV, that of H is W = s (X K^T + Q Y^T). The second one gives

        dG = S'(W) V + P Z,    dV = S'(W)^T G
        dQ = s (H Y + C K),    dK = s (H^T X + C^T Q),    C = M - P rowsum(M)
        M = H (W - rowsum(P W)) + P (G Z^T)

    In bfloat16 the scores are float32 until their softmax; the matrices that are kept are not, so its error
    is one to five times that of PyTorch's. With a mask, dropout, or queries in groups this is PyTorch's own,
    and in float16, where H would be too small a number.

    Example:
        >>> q, k, v = torch.rand(3, 1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradgradcheck(scaled_dot_product_attention, (q, k, v))
        True
    """
    plain = attn_mask is None and dropout_p == 0 and not is_causal and not enable_gqa
    known = query.device.type in ("cpu", "cuda")
    q, k, v = (as_autocast(x) if known else x for x in (query, key, value))
    if not plain or not known or not _is_ours(q, k, v):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    o: Tensor = _Attention.apply(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), scale)
    return o.view(*query.shape[:2], *o.shape[1:])


def _is_ours(query: Tensor, key: Tensor, value: Tensor) -> bool:
    given = (query, key, value)
    return (
        not has_torch_function(given)  # others want to see PyTorch's own: `capture_attention`, say
        and query.dtype in (torch.float32, torch.float64, torch.bfloat16)
        and all(x.ndim == 4 and x.dtype == query.dtype and x.numel() > 0 for x in given)
        and query.shape[:2] == key.shape[:2] == value.shape[:2]
        and query.shape[3] == key.shape[3]
        and key.shape[2] == value.shape[2]
    )


def _product(a: Tensor, b: Tensor, scale: float = 1.0, add: Tensor | None = None) -> Tensor:
    """Multiply matrices in one pass over them: scale a b, and `add` to it."""
    if add is None:
        return torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)
    return torch.baddbmm(add, a, b, alpha=scale)


def _softmax_backward(gradient: Tensor, p: Tensor) -> Tensor:
    found: Tensor = _aten._softmax_backward_data(gradient, p, -1, p.dtype)
    return found


def _row_sum(matrix: Tensor) -> Tensor:
    """Sum in float32 at least: of what rounding leaves in such a sum, a whole row is off."""
    dtype = torch.promote_types(matrix.dtype, torch.float32)
    return matrix.sum(dim=-1, keepdim=True, dtype=dtype)


def _without_autocast(like: Tensor) -> torch.autocast:
    """Leave dtypes as they are: a backward pass runs under the autocast of its caller, if any."""
    return torch.autocast(like.device.type, enabled=False)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        with _without_autocast(q):
            # Rounded to bfloat16, a score of 30 is off by up to 0.06, and so is each weight, by 6 per cent.
            precise = torch.promote_types(q.dtype, torch.float32)
            scores = _product(q.to(precise), k.to(precise).mT, scale)
            p = scores.softmax(dim=-1).to(q.dtype)
            ctx.save_for_backward(q, k, v, p)
            ctx.scale = scale
            return p @ v

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        q, k, v, p = ctx.saved_tensors
        return *_AttentionGradient.apply(gradients[0], q, k, v, p, ctx.scale, ctx.needs_input_grad[:3]), None


class _AttentionGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        p: Tensor,
        scale: float,
        wanted: tuple[bool, bool, bool],
    ) -> Any:
        of_q, of_k, of_v = wanted
        h = None
        with _without_autocast(g):
            if of_q or of_k:
                h = _softmax_backward(g @ v.mT, p)
            ctx.save_for_backward(g, q, k, v, p, h)
            ctx.scale = scale
            ctx.set_materialize_grads(False)
            return (
                _product(h, k, scale) if h is not None and of_q else None,
                _product(h.mT, q, scale) if h is not None and of_k else None,
                p.mT @ g if of_v else None,
            )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        g, q, k, v, p, h = ctx.saved_tensors
        scale: float = ctx.scale
        of_g, of_q, of_k, of_v = ctx.needs_input_grad[:4]
        x, y, z = gradients
        found: list[Tensor | None] = [None, None, None, None]
        m = None
        with _without_autocast(g):
            if x is not None or y is not None:
                # Both products at once: s [X Q] [K Y]^T.
                left = [a for a, u in ((x, x), (q, y)) if u is not None]
                right = [b for b, u in ((k, x), (y, y)) if u is not None]
                w = _product(torch.cat(left, dim=-1), torch.cat(right, dim=-1).mT, scale)
                if of_g or of_v:
                    a = _softmax_backward(w, p)
                    found[0] = a @ v if of_g else None
                    found[3] = a.mT @ g if of_v else None
                    del a
                if of_q or of_k:
                    m = w.sub_(_row_sum(p * w)).mul_(h)
                del w
            if z is not None:
                if of_g:
                    found[0] = p @ z if found[0] is None else _product(p, z, add=found[0])
                if of_q or of_k:
                    e = g @ z.mT
                    m = e.mul_(p) if m is None else m.addcmul_(p, e)
            if m is not None:
                c = m.addcmul_(p, _row_sum(m).to(p.dtype), value=-1)
                found[1] = _product(c, k, scale) if of_q else None
                found[2] = _product(c.mT, q, scale) if of_k else None
            if of_q and y is not None:
                found[1] = _product(h, y, scale, add=found[1])
            if of_k and x is not None:
                found[2] = _product(h.mT, x, scale, add=found[2])
        return *found, None, None, None
