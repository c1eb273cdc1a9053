"""Inconsistent distribution: where to cut a continuous explanation to compare it with binary marks."""

from __future__ import annotations

import torch
from torch import Tensor

MARGIN = 1e-4
"""A threshold this much above a value lies above it."""


def adaptive_threshold(values: Tensor, marks: Tensor) -> Tensor:
    r"""Find the threshold that best separates positive from negative cells (RES: Gao et al., KDD 2022).

        alpha = argmax_a  mean_{F<0} [M < a] + mean_{F>0} [M >= a]

    over the candidates {M_i : F_i > 0} and {M_i + 1e-4 : F_i < 0}; the smallest of equals. A side without
    marks drops its term; without any mark alpha is 0. Sorting makes it O(n log n); the published double loop
    is O(n^2). Counts are compared as integers, so that ties are exact. Nothing here is differentiated, and
    no shape depends on the values, so that nothing waits for a GPU.

    Args:
        values: (R, n) explanation cells, one problem a row
        marks: (R, n) annotation of the same cells, its sign counts, 0 is left out

    Returns:
        (R,)

    Example:
        >>> adaptive_threshold(torch.tensor([[0.1, 0.4, 0.9]]), torch.tensor([[-1.0, 1.0, 1.0]]))
        tensor([0.1001])
    """
    signs = torch.stack([marks > 0, marks < 0])
    # What has the other sign or none is at the end, and counts for no candidate.
    positive, negative = torch.where(signs, values.detach(), torch.inf).sort(dim=2).values
    n_positive, n_negative = signs.sum(dim=2, keepdim=True)
    candidates = torch.cat([positive, negative + MARGIN], dim=1)
    below = torch.searchsorted(negative, candidates)
    above = n_positive - torch.searchsorted(positive, candidates)
    # below / n_negative + above / n_positive, over the common denominator; an absent side drops out.
    score = below * n_positive.clamp(min=1) + above * n_negative.clamp(min=1)
    score = torch.where(candidates.isinf(), -1, score)
    best = score == score.amax(dim=1, keepdim=True)
    alpha = torch.where(best, candidates, torch.inf).amin(dim=1)
    return torch.where(alpha.isinf(), 0.0, alpha)
