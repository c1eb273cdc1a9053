"""The scalar of an image that an explanation explains."""

from __future__ import annotations

import torch
from torch import Tensor

from lookright.errors import ConfigError
from lookright.precision import full_precision
from lookright.types import Score, Target


def chosen_class(logits: Tensor, label: Tensor | None, target: Target) -> Tensor:
    """Pick the class of each image that is to be explained.

    A single output (K = 1: a regression) is its own class 0, whatever the label says.

    Args:
        logits: (B, K)
        label: (B,) int64, needed for `Target.LABEL` where K > 1
        target: which class

    Returns:
        (B,) int64

    Raises:
        ConfigError: no label for `Target.LABEL` or one that is not (B,) int64, logits that are not (B, K).

    Example:
        >>> chosen_class(torch.tensor([[1.0, 4.0, 0.0]]), None, Target.PREDICTED)
        tensor([1])
    """
    if logits.ndim != 2:
        raise ConfigError(f"logits: got shape {tuple(logits.shape)}, need (B, K)")
    if target is Target.PREDICTED:
        return logits.detach().argmax(dim=1)
    if logits.shape[1] == 1:
        return logits.new_zeros(len(logits), dtype=torch.long)
    if label is None:
        raise ConfigError("label: missing; pass labels, or request Target.PREDICTED")
    if label.shape != logits.shape[:1] or label.is_floating_point():
        raise ConfigError(
            f"label: got {label.dtype} of shape {tuple(label.shape)}, need int64 of shape ({len(logits)},); "
            "where images have several classes, name those to explain by rows"
        )
    return label


def explained_score(logits: Tensor, chosen: Tensor, score: Score) -> Tensor:
    r"""Give the score of each image, for the class c that was chosen; see `Score` for the formulas.

    A single output (K = 1: a regression) has no other class to compare with: its score is the output itself.

    Args:
        logits: (B, K)
        chosen: (B,) int64
        score: what of the class

    Returns:
        (B,)

    Raises:
        ConfigError: a score that compares classes, of a single output.

    Example:
        >>> explained_score(torch.tensor([[1.0, 4.0, 0.0]]), torch.tensor([1]), Score.CONTRAST)
        tensor([3.5000])
    """
    if logits.shape[1] == 1 and score is not Score.LOGIT:
        raise ConfigError(
            f"score: '{score.value}' compares classes, and the network has one output; use logit"
        )
    picked = logits.gather(1, chosen[:, None]).squeeze(1)
    match score:
        case Score.LOGIT:
            return picked
        case Score.CONTRAST:
            return picked - (logits.sum(dim=1) - picked) / (logits.shape[1] - 1)
        case Score.RUNNER_UP:
            others = logits.scatter(1, chosen[:, None], float("-inf"))
            return picked - others.amax(dim=1)
        case Score.LOG_PROBABILITY:
            return full_precision(logits).log_softmax(dim=1).gather(1, chosen[:, None]).squeeze(1)
        case Score.ALL_LOG_PROBABILITIES:
            return full_precision(logits).log_softmax(dim=1).sum(dim=1)
