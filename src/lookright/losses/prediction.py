"""The loss of a prediction, by task."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lookright.types import Task


def prediction_loss(task: Task, logits: Tensor, label: Tensor) -> Tensor:
    """Give the loss of each image's prediction.

    Cross-entropy for one class per image; the mean over the classes of the binary cross-entropy for any
    number of classes; the squared error for a number.

    Args:
        task: what the network predicts
        logits: (B, K); (B, 1) for a number
        label: (B,) int64, (B, K) in {0, 1}, or (B,) float32

    Returns:
        (B,)

    Example:
        >>> import torch
        >>> prediction_loss(Task.REGRESSION, torch.tensor([[3.0]]), torch.tensor([1.0]))
        tensor([4.])
    """
    match task:
        case Task.SINGLE_LABEL:
            return F.cross_entropy(logits, label, reduction="none")
        case Task.MULTI_LABEL:
            return F.binary_cross_entropy_with_logits(logits, label.float(), reduction="none").mean(dim=1)
        case Task.REGRESSION:
            return (logits[:, 0] - label.float()).square()
