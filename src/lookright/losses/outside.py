"""Losses on the evidence where no evidence may be."""

from __future__ import annotations

import enum

from torch import Tensor
from torch.nn import functional as F

from lookright.losses.base import ExplanationLoss
from lookright.types import Normalization, Request, Score


class Outside(enum.Enum):
    """Which cells count as outside."""

    COMPLEMENT = "complement"
    """The negative marks; in an image without any, what lies a cell or more off its positive marks."""
    NEGATIVE = "negative"
    """The negative marks alone: an image without any contributes nothing."""


class Evidence(ExplanationLoss):
    r"""Mean square of the evidence outside the annotation: lookright's own loss.

        L = mean_{outside} (h w M)^2,   M = Grad-CAM of z_y - mean_{k != y} z_k, not normalised, no ReLU

    For a network that ends in global average pooling and a linear head, h w M is the class activation map of
    the logit difference: its mean over the grid is that difference (without biases), so the loss bounds how
    much of the *decision* comes from outside. A loss on a normalised map cannot do that: it is blind to the
    amount of evidence and can repaint the map while the model keeps its shortcut. In an image without
    negative marks the unmarked cells are outside, by definition.

    Args:
        outside: which cells; an image without any such cell contributes 0

    Shapes:
        explanation (B, 1, h, w) any scale, annotation (B, 1, H, W) -> scalar >= 0, in squared logits

    Example:
        >>> import torch
        >>> Evidence()(torch.tensor([[[[3.0, 0.5]]]]), torch.tensor([[[[0.0, -1.0]]]]))
        tensor(1.)
    """

    request = Request(score=Score.CONTRAST, normalization=Normalization.NONE)
    paper = "lookright"
    uses = "negative, else positive"
    counts_unmarked = True

    def __init__(self, outside: Outside = Outside.COMPLEMENT) -> None:
        super().__init__()
        self.outside = outside

    def cells(self, annotation: Tensor) -> Tensor:
        """Give the cells that count as outside, (B, 1, h, w) bool."""
        negative = annotation < 0
        if self.outside is Outside.NEGATIVE:
            return negative
        positive = (annotation > 0).float()
        near = F.max_pool2d(positive, kernel_size=3, stride=1, padding=1) > 0
        marked_negative = negative.flatten(1).any(dim=1)[:, None, None, None]
        marked_positive = positive.flatten(1).any(dim=1)[:, None, None, None]
        return negative | (~near & marked_positive & ~marked_negative)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean squared evidence over the outside cells, (B,)."""
        height, width = explanation.shape[-2:]
        outside = self.cells(annotation)
        evidence = (height * width * explanation).square() * outside
        return evidence.sum(dim=(1, 2, 3)) / outside.sum(dim=(1, 2, 3)).clamp(min=1)
