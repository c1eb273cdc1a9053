"""The attention matrices of a transformer, on the path from the image to the logits."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lookright.errors import ConfigError

_SOFTMAX = (torch.softmax, torch.Tensor.softmax, torch.special.softmax, F.softmax)
_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def capture_attention() -> Iterator[list[Tensor]]:
    r"""Record the attention of every layer during one forward pass, whatever the network is made of.

        A = softmax(Q K^T / sqrt(d) + mask),   recorded before dropout

    Seen are `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and a softmax over the last of four
    dimensions, which is how explicit attention is written. The first two are computed step by step, since
    fused kernels never hold A and differentiate once. What the network gives, and its gradients, stay the
    same up to rounding; half precision is computed in float32, as PyTorch's own "math" kernel does. The
    network must be neither compiled nor under gradient checkpointing: the first cuts the matrices off the
    path to the logits, the second fails when it computes them again.

    The matrices lie on the path to the logits: d logit / d A exists, twice. As with `capture`, the autograd
    graph starts at the first of them at the latest, where gradients are off or nothing below it is trained.
    Nothing of the network is touched, so nothing stays behind.

    Yields:
        one tensor (B, heads, N, N) per attention layer, in the order of execution, filled when the network
        runs; windowed attention gives (B * windows, heads, n, n), pooling by attention (B, heads, 1, N)

    Raises:
        ConfigError: an `nn.MultiheadAttention` with a bias or zeros added to its keys.

    Example:
        >>> layer = torch.nn.MultiheadAttention(8, num_heads=2, batch_first=True)
        >>> tokens = torch.rand(1, 5, 8)
        >>> with capture_attention() as attentions:
        ...     output, _ = layer(tokens, tokens, tokens)
        >>> attentions[0].shape
        torch.Size([1, 2, 5, 5])
        >>> torch.autograd.grad(output.sum(), attentions)[0].shape
        torch.Size([1, 2, 5, 5])
    """
    recorder = _Recorder()
    with torch.set_grad_enabled(torch.is_grad_enabled()), recorder:
        yield recorder.attentions


class _Recorder(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.attentions: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)[0]
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in _SOFTMAX and _is_attention(output, kwargs.get("dim", args[1] if len(args) > 1 else None)):
            # What comes next may work in place (a mask, say), which the recorded matrix must not see.
            return self._record(output).clone()
        return output

    def _record(self, attention: Tensor) -> Tensor:
        """Record a matrix; give it back, to go on with."""
        recorded = attention.unsqueeze(1) if attention.ndim == 3 else attention
        if not recorded.requires_grad:
            torch.set_grad_enabled(True)
            recorded.requires_grad_()
        self.attentions.append(recorded)
        return recorded.squeeze(1) if attention.ndim == 3 else recorded

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Do what `F.scaled_dot_product_attention` does; give the attention after dropout as well."""
        query, key, value = (_as_autocast(x) for x in (query, key, value))
        given = query.dtype
        with torch.autocast(query.device.type, enabled=False):
            if given in _HALF:
                query, key, value = query.float(), key.float(), value.float()
            if enable_gqa:
                key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
                value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
            scores = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.mT
            if is_causal:
                attn_mask = torch.ones_like(scores, dtype=torch.bool).tril()
            attention = self._record(_softmax(scores, attn_mask))
            dropped = F.dropout(attention, dropout_p) if dropout_p > 0 else attention
            return (dropped @ value).to(given), dropped

    def _multi_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Do what `F.multi_head_attention_forward` does: its own call of the attention is out of sight."""
        bound = _MULTI_HEAD.bind(*args, **kwargs)
        bound.apply_defaults()
        given = SimpleNamespace(**bound.arguments)
        extra = (given.bias_k, given.bias_v, given.static_k, given.static_v)
        if given.add_zero_attn or any(x is not None for x in extra):
            raise ConfigError(
                "network: an nn.MultiheadAttention with add_bias_kv or add_zero_attn attends to more than "
                "its tokens, which attention explainers do not support; use Grad-CAM or an input gradient"
            )
        inputs = [given.query, given.key, given.value]
        batched = given.query.ndim == 3
        if not batched:
            inputs = [x.unsqueeze(1) for x in inputs]
        if given.use_separate_proj_weight:
            weights = (given.q_proj_weight, given.k_proj_weight, given.v_proj_weight)
        else:
            weights = given.in_proj_weight.chunk(3)
        biases = (None,) * 3 if given.in_proj_bias is None else given.in_proj_bias.chunk(3)
        query, key, value = (  # (N, B, heads * d) -> (B, heads, N, d)
            F.linear(x, weight, bias).view(*x.shape[:2], given.num_heads, -1).permute(1, 2, 0, 3)
            for x, weight, bias in zip(inputs, weights, biases, strict=True)
        )
        output, attention = self._attend(
            query,
            key,
            value,
            _mask_of_multi_head(given, query),
            given.dropout_p if given.training else 0.0,
            is_causal=given.is_causal and given.attn_mask is None,
        )
        output = F.linear(output.permute(2, 0, 1, 3).flatten(2), given.out_proj_weight, given.out_proj_bias)
        if given.average_attn_weights:
            attention = attention.mean(dim=1)
        if not batched:
            output, attention = output.squeeze(1), attention.squeeze(0)
        return output, attention if given.need_weights else None


def _is_attention(output: Tensor, dim: int | None) -> bool:
    """Whether a softmax is one of attention: of (..., heads, N, M), or of (B, N, N) with a single head."""
    square = output.ndim == 3 and output.shape[1] == output.shape[2]
    return (output.ndim > 3 or square) and dim in (-1, output.ndim - 1)


def _as_autocast(x: Tensor) -> Tensor:
    """Cast as autocast casts the input of attention."""
    if torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.float32, *_HALF):
        return x.to(torch.get_autocast_dtype(x.device.type))
    return x


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the keys that a mask leaves: bool, True = attend, or added to the scores."""
    if mask is None:
        return scores.softmax(dim=-1)
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
    nothing = (scores == -math.inf).all(dim=-1, keepdim=True)  # 0 / 0, which PyTorch defines as 0
    return scores.masked_fill(nothing, 0).softmax(dim=-1).masked_fill(nothing, 0)


def _mask_of_multi_head(given: SimpleNamespace, query: Tensor) -> Tensor | None:
    """Sum the masks of `F.multi_head_attention_forward`, in which True = do not attend."""
    mask: Tensor | None = given.attn_mask
    padding: Tensor | None = given.key_padding_mask
    if mask is not None:
        mask = _added(mask, query)
        if mask.ndim == 3 and mask.shape[0] > 1:  # (B * heads, N, M)
            mask = mask.view(*query.shape[:2], *mask.shape[1:])
    if padding is not None:  # (B, M), or (M,) of a single sequence
        padding = _added(padding, query).view(query.shape[0], 1, 1, -1)
        mask = padding if mask is None else mask + padding
    return mask


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype is not torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)
