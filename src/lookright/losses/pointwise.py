"""Losses that compare explanation and annotation cell by cell."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lookright.losses.base import ExplanationLoss
from lookright.normalize import EPSILON


class GRADIA(ExplanationLoss):
    r"""L1 distance between the explanation and the positive annotation (GRADIA: Gao et al., CSCW 2022).

        L = mean_ij |M_ij - F+_ij|

    Every unmarked cell counts as 0: by this loss's definition what nobody marked is irrelevant. An image
    that has only negative marks is pulled to 0 everywhere.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> GRADIA()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.5000)
    """

    paper = "GRADIA: Gao et al., CSCW 2022"
    uses = "positive"

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean absolute difference over all cells, (B,)."""
        return (explanation - annotation.clamp(min=0)).abs().mean(dim=(1, 2, 3))


class HAICS(ExplanationLoss):
    r"""Binary cross-entropy on the marked cells (HAICS: Shen et al., CHI Extended Abstracts 2021).

        L = mean_{F != 0} -[F+ log M + (1 - F+) log(1 - M)]

    The mean is over the marked cells of an image; unmarked cells do not count, and an image without any mark
    contributes 0. The published RES code multiplies the mean over *all* cells by the marked share instead;
    this is the objective as the HAICS paper describes it. M is clamped to [1e-6, 1 - 1e-6].

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> HAICS()(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.6931)
    """

    paper = "HAICS: Shen et al., CHI EA 2021"
    uses = "positive, negative"

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean cross-entropy over the marked cells, (B,)."""
        marked = annotation != 0
        probability = explanation.clamp(EPSILON, 1 - EPSILON)
        cells = F.binary_cross_entropy(probability, annotation.clamp(min=0), reduction="none")
        return (cells * marked).sum(dim=(1, 2, 3)) / marked.sum(dim=(1, 2, 3)).clamp(min=1)
