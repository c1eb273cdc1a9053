"""The attention matrices of a transformer, on the path from the image to the logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lookright.explainers.multi_head import multi_head_attention
from lookright.models.softmax import is_over_keys
from lookright.precision import as_autocast

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
            return multi_head_attention(self._attend, *args, **kwargs)
        output = func(*args, **kwargs)
        if is_over_keys(func, output, args, kwargs):
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
        query, key, value = (as_autocast(x) for x in (query, key, value))
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


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the keys that a mask leaves: bool, True = attend, or added to the scores."""
    if mask is None:
        return scores.softmax(dim=-1)
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
    nothing = (scores == -math.inf).all(dim=-1, keepdim=True)  # 0 / 0, which PyTorch defines as 0
    return scores.masked_fill(nothing, 0).softmax(dim=-1).masked_fill(nothing, 0)
