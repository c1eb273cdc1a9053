"""Losses on how well explanation and annotation overlap."""

from __future__ import annotations

from torch import Tensor

from lookright.losses.base import ExplanationLoss
from lookright.normalize import EPSILON
from lookright.types import Request, Score


class SoftIoU(ExplanationLoss):
    r"""One minus the soft intersection over union of explanation and positive annotation.

        L = 1 - sum(M F+) / sum(M + F+ - M F+)

    The union counts unmarked cells, as IoU does. An image without a positive mark contributes 0. The map is
    that of the logit difference, the one that `Evidence` penalises, so that both pull at the same thing.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar in [0, 1]

    Example:
        >>> import torch
        >>> SoftIoU()(torch.tensor([[[[1.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])).round(decimals=4)
        tensor(0.5000)
    """

    request = Request(score=Score.CONTRAST)
    paper = "soft Jaccard: Rahman & Wang, ISVC 2016"
    uses = "positive"
    counts_unmarked = True

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """One minus soft IoU, (B,)."""
        positive = annotation.clamp(min=0)
        intersection = (explanation * positive).sum(dim=(1, 2, 3))
        union = (explanation + positive).sum(dim=(1, 2, 3)) - intersection
        has_positive = (positive > 0).any(dim=3).any(dim=2).any(dim=1)
        return (1 - intersection / (union + EPSILON)) * has_positive
