"""Losses on how well explanation and annotation overlap."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lookright.choices import choice
from lookright.losses.base import ExplanationLoss, has_positive
from lookright.normalize import EPSILON
from lookright.types import Normalization, Request, Score


class SoftIoU(ExplanationLoss):
    r"""One minus the soft intersection over union of explanation and positive annotation.

        L = 1 - sum(M F+) / sum(M + F+ - M F+)

    The union counts unmarked cells, as IoU does. An image without a positive mark contributes 0. A graded
    mark is the share of its cell that is in the set.

    Args:
        score: contrast, the map of the difference of logits, as in `evidence`; or logit, the map of the
            class's own, which people look at: what all classes have in common is in it too

    Raises:
        ConfigError: another score.

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

    def __init__(self, score: Score | str = Score.CONTRAST) -> None:
        super().__init__()
        chosen = choice("score", score, Score, (Score.CONTRAST, Score.LOGIT))
        self.request = replace(self.request, score=chosen)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """One minus soft IoU, (B,)."""
        positive = annotation.clamp(min=0)
        intersection = (explanation * positive).sum(dim=(1, 2, 3))
        union = (explanation + positive).sum(dim=(1, 2, 3)) - intersection
        return (1 - intersection / (union + EPSILON)) * has_positive(annotation)


class Energy(ExplanationLoss):
    r"""Share of the positive energy that lies off the positive annotation (Rao et al., ICCV 2023).

        L = 1 - sum F+ A / sum A,   A = relu(map), not normalised

    One minus the energy-based pointing game (Wang et al., CVPR Workshops 2020). It asks where the energy is,
    not for all of the annotation to be covered, and so forgives boxes. Every unmarked cell is off the
    annotation. The weight of a graded mark is its magnitude. An image without a positive mark contributes 0.
    The divisor is at least 1e-6, so that the loss of an image goes to 1 as its positive energy vanishes;
    without any its gradient is 0, and the prediction loss has to bring the energy back.

    Shapes:
        explanation (B, 1, h, w) any scale, annotation (B, 1, H, W) -> scalar in [0, 1]

    Example:
        >>> import torch
        >>> Energy()(torch.tensor([[[[3.0, 1.0, -5.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]]))
        tensor(0.2500)
    """

    request = Request(normalization=Normalization.NONE)
    paper = "Energy: Rao et al., ICCV 2023"
    uses = "positive"
    counts_unmarked = True
    differs = "on the grid of the map, a mean over images; the authors' code enlarges maps and adds images up"

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Share of the energy off the marks, (B,)."""
        energy, positive = explanation.relu(), annotation.clamp(min=0)
        inside, total = (energy * positive).sum(dim=(1, 2, 3)), energy.sum(dim=(1, 2, 3))
        return (1 - inside / total.clamp(min=EPSILON)) * has_positive(annotation)
