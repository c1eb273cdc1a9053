"""What `nn.MultiheadAttention` computes, around an attention of one's own.

Its own call of the attention is out of sight: a TorchFunctionMode sees the whole of it as one function.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float, bool], tuple[Tensor, Tensor]]
"""query, key, value (B, heads, N, d), mask, dropout, whether causal -> output, attention (B, heads, N, M)"""

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


def multi_head_attention(attend: Attend, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """Do what `F.multi_head_attention_forward` does.

    Args:
        attend: gives the output and the attention after dropout
        args: of `F.multi_head_attention_forward`
        kwargs: likewise

    Raises:
        ConfigError: a bias or zeros are added to the keys.

    Example:
        >>> def attend(q, k, v, *_):
        ...     p = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
        ...     return p @ v, p
        >>> layer, x = torch.nn.MultiheadAttention(8, num_heads=2), torch.rand(5, 1, 8)
        >>> weights = (layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0)
        >>> out = (layer.out_proj.weight, layer.out_proj.bias)
        >>> found, _ = multi_head_attention(attend, x, x, x, 8, 2, *weights, *out)
        >>> torch.allclose(found, layer(x, x, x)[0], atol=1e-6)
        True
    """
    given = _bound(args, kwargs)
    if _has_more_keys(given):
        raise ConfigError(
            "network: an nn.MultiheadAttention with add_bias_kv or add_zero_attn attends to more than "
            "its tokens, which attention explainers do not support; use Grad-CAM or an input gradient"
        )
    batched = given.query.ndim == 3
    query, key, value = (  # (N, B, heads * d) -> (B, heads, N, d)
        x.view(*x.shape[:2], given.num_heads, -1).permute(1, 2, 0, 3) for x in _projected(given, batched)
    )
    output, attention = attend(
        query,
        key,
        value,
        _mask(given, query),
        given.dropout_p if given.training else 0.0,
        given.is_causal and given.attn_mask is None,
    )
    output = F.linear(output.permute(2, 0, 1, 3).flatten(2), given.out_proj_weight, given.out_proj_bias)
    if not given.need_weights:
        return output if batched else output.squeeze(1), None
    if given.average_attn_weights:
        attention = attention.mean(dim=1)
    return (output, attention) if batched else (output.squeeze(1), attention.squeeze(0))


def is_output_alone(*args: Any, **kwargs: Any) -> bool:
    """Whether a call of `F.multi_head_attention_forward` asks for its output alone, and adds no keys."""
    given = _bound(args, kwargs)
    return not given.need_weights and not _has_more_keys(given)


def _bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> SimpleNamespace:
    bound = _SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    return SimpleNamespace(**bound.arguments)


def _has_more_keys(given: SimpleNamespace) -> bool:
    extra = (given.bias_k, given.bias_v, given.static_k, given.static_v)
    return given.add_zero_attn or any(x is not None for x in extra)


def _projected(given: SimpleNamespace, batched: bool) -> Iterable[Tensor]:
    """Queries, keys and values (N, B, heads * d)."""
    inputs = [x if batched else x.unsqueeze(1) for x in (given.query, given.key, given.value)]
    if not given.use_separate_proj_weight and given.query is given.key is given.value:
        return F.linear(inputs[0], given.in_proj_weight, given.in_proj_bias).chunk(3, dim=-1)
    if given.use_separate_proj_weight:
        weights = (given.q_proj_weight, given.k_proj_weight, given.v_proj_weight)
    else:
        weights = given.in_proj_weight.chunk(3)
    biases = (None,) * 3 if given.in_proj_bias is None else given.in_proj_bias.chunk(3)
    return [F.linear(x, weight, bias) for x, weight, bias in zip(inputs, weights, biases, strict=True)]


def _mask(given: SimpleNamespace, query: Tensor) -> Tensor | None:
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
