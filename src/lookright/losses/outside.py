"""Losses on the evidence where no evidence may be."""

from __future__ import annotations

import enum
from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from lookright.choices import choice
from lookright.losses.base import ExplanationLoss, has_positive
from lookright.types import Normalization, Request, Score


class Outside(enum.Enum):
    """Which cells count as outside.

    Example:
        >>> import torch
        >>> marks = torch.tensor([[[[1.0, 0.0, 0.0]]]])
        >>> Evidence(Outside.COMPLEMENT).cells(marks), Evidence(Outside.NEGATIVE).cells(marks)
        (tensor([[[[False, False,  True]]]]), tensor([[[[False, False, False]]]]))
    """

    COMPLEMENT = "complement"
    """The negative marks; in an image without any, the cells that neither are marked positive nor touch one
    that is. An image without any mark has none."""
    NEGATIVE = "negative"
    """The negative marks alone: an image without any contributes nothing."""


class Evidence(ExplanationLoss):
    r"""Mean square of the evidence outside the annotation: lookright's own loss.

        L = mean_{outside} (h w M)^2,   M = Grad-CAM of z_y - mean_{k != y} z_k, not normalised, no ReLU

    For a network that ends in global average pooling and a linear head, h w M is the class activation map of
    the logit difference: its mean over the grid is that difference (without biases), so the loss bounds how
    much of the *decision* comes from outside. A loss on a normalised map cannot do that: it is blind to the
    amount of evidence and can repaint the map while the model keeps its shortcut. Outside are the negative
    marks; in an image without any, all cells but the positive ones and the ring of one cell around them,
    where the border of what was marked lies.

    Args:
        outside: which cells, as `Outside` or its value; an image without any such cell contributes 0

    Raises:
        ConfigError: another value.

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

    def __init__(self, outside: Outside | str = Outside.COMPLEMENT) -> None:
        super().__init__()
        self.outside = choice("outside", outside, Outside)
        self.counts_unmarked = self.outside is Outside.COMPLEMENT

    def cells(self, annotation: Tensor) -> Tensor:
        """Give the cells that count as outside, (B, 1, h, w) bool."""
        negative = annotation < 0
        if self.outside is Outside.NEGATIVE:
            return negative
        positive = (annotation > 0).float()
        near = F.max_pool2d(positive, kernel_size=3, stride=1, padding=1) > 0
        marked_negative = negative.flatten(1).any(dim=1)[:, None, None, None]
        marked_positive = has_positive(annotation)[:, None, None, None]
        return negative | (~near & marked_positive & ~marked_negative)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean squared evidence over the outside cells, (B,)."""
        height, width = explanation.shape[-2:]
        outside = self.cells(annotation)
        evidence = (height * width * explanation).square() * outside
        return evidence.sum(dim=(1, 2, 3)) / outside.sum(dim=(1, 2, 3)).clamp(min=1)


class RRRG(ExplanationLoss):
    r"""Nothing of the map at the negative marks (RRR-G: Friedrich et al., Nature MI 2023).

        L = sum_ij F-_ij M_ij^2

    `RRR` with Grad-CAM in place of the input gradient. A sum too: its scale depends on the grid. The weight
    of a graded mark is its magnitude. An image without a negative mark contributes 0.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> RRRG()(torch.tensor([[[[1.0, 0.5]]]]), torch.tensor([[[[0.0, -1.0]]]]))
        tensor(0.2500)
    """

    paper = "RRR-G: Friedrich et al., Nature MI 2023, after Schramowski et al., Nature MI 2020"
    uses = "negative"
    differs = "the authors' code explains the predicted class: --explain predicted"

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Sum of squares over the negative marks, (B,)."""
        return (explanation.square() * (-annotation).clamp(min=0)).sum(dim=(1, 2, 3))


class RRRStar(ExplanationLoss):
    r"""Nothing of the map off the positive annotation (RRR*: Rao et al., ICCV 2023).

        L = sum_ij (1 - F+_ij) A_ij^2,   A = map / max |map|

    `RRR` for marks of what is relevant: every cell that is not marked positive is outside, and negative
    evidence there counts as positive does. A sum: its scale depends on the grid. The weight of a graded mark
    is its magnitude. An image without a positive mark contributes 0.

    Args:
        published: drop the negative part of the map first, as the Grad-CAM of the authors' code does

    Shapes:
        explanation (B, 1, h, w) in [-1, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> RRRStar()(torch.tensor([[[[1.0, -0.5]]]]), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.2500)
    """

    request = Request(normalization=Normalization.MAX_ABS)
    paper = "RRR*: Rao et al., ICCV 2023"
    uses = "positive"
    counts_unmarked = True
    differs = (
        "on the grid of the map, a mean over images; the authors' code enlarges maps and adds images up; "
        "published=true drops the negative part of a Grad-CAM as it does"
    )

    def __init__(self, *, published: bool = False) -> None:
        super().__init__()
        if published:
            self.request = replace(self.request, normalization=Normalization.RELU_MAX)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Sum of squares off the positive marks, (B,)."""
        positive = annotation.clamp(min=0)
        outside = (1 - positive) * has_positive(annotation)[:, None, None, None]
        return (explanation.square() * outside).sum(dim=(1, 2, 3))
