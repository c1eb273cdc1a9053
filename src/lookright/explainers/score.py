"""The scalar of an image that an explanation explains."""

from __future__ import annotations

from torch import Tensor

from lookright.errors import ConfigError
from lookright.types import Score, Target


def explained_score(logits: Tensor, label: Tensor | None, target: Target, score: Score) -> Tensor:
    r"""Pick the score of each image: z_c, or z_c - mean_{k != c} z_k.

    Args:
        logits: (B, K)
        label: (B,) int64, needed for `Target.LABEL`
        target: which class c
        score: what of it

    Returns:
        (B,)

    Raises:
        ConfigError: no label for `Target.LABEL`, logits that are not (B, K), a single class.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 4.0, 0.0]])
        >>> explained_score(logits, None, Target.PREDICTED, Score.CONTRAST)
        tensor([3.5000])
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ConfigError(
            f"logits: got shape {tuple(logits.shape)}, need (B, K) with K >= 2 classes; "
            "a two-class network needs two outputs"
        )
    if target is Target.PREDICTED:
        chosen = logits.detach().argmax(dim=1)
    elif label is None:
        raise ConfigError("label: missing; pass labels, or request Target.PREDICTED")
    else:
        chosen = label
    picked = logits.gather(1, chosen[:, None]).squeeze(1)
    if score is Score.CONTRAST:
        others = (logits.sum(dim=1) - picked) / (logits.shape[1] - 1)
        return picked - others
    return picked
