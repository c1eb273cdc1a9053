"""How attention that is written out looks from outside: a softmax over the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_SOFTMAX = (torch.softmax, torch.Tensor.softmax, torch.special.softmax, F.softmax)


def is_over_keys(function: object, output: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call was a softmax of attention: over the last axis of (..., heads, N, M) or of (B, N, N).

    Args:
        function: that was called
        output: what it gave
        args: what it was called with
        kwargs: the same by name

    Example:
        >>> scores = torch.rand(1, 2, 5, 5)
        >>> [is_over_keys(torch.softmax, scores.softmax(dim), (scores, dim), {}) for dim in (-1, 1)]
        [True, False]
    """
    if function not in _SOFTMAX or not isinstance(output, Tensor):
        return False
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    square = output.ndim == 3 and output.shape[1] == output.shape[2]
    return (output.ndim > 3 or square) and dim in (-1, output.ndim - 1)
