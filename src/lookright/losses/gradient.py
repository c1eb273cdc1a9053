"""Losses on the gradient of the prediction at the image itself."""

from __future__ import annotations

from torch import Tensor

from lookright.losses.base import ExplanationLoss, has_positive
from lookright.types import Normalization, Request, Score

_OF_CROSS_ENTROPY = Request(
    explainer="input-gradient",
    score=Score.LOG_PROBABILITY,
    normalization=Normalization.NONE,
    channels=True,
)
_GALS_DIFFERS = (
    "T is the annotation: maps from text prompts need CLIP's weights; G is of each image's own "
    "cross-entropy, the authors' code takes it of the batch's mean, which makes it smaller by the batch size"
)


class RRR(ExplanationLoss):
    r"""Right for the right reasons: no input gradient at the negative marks (Ross et al., IJCAI 2017).

        L = sum_ij F-_ij sum_c G_cij^2,   G = d/dx sum_k log p_k

    A sum over pixels and channels, as in the paper: its scale depends on the size of the image. The weight of
    a graded mark is its magnitude. An image without a negative mark contributes 0.

    Shapes:
        explanation (B, C, h, w) any scale, annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> gradient = torch.tensor([[[[3.0, 1.0]], [[0.0, 2.0]]]])
        >>> RRR()(gradient, torch.tensor([[[[0.0, -1.0]]]]))
        tensor(5.)
    """

    paper = "RRR: Ross et al., IJCAI 2017"
    uses = "negative"
    request = Request(
        explainer="input-gradient",
        score=Score.ALL_LOG_PROBABILITIES,
        normalization=Normalization.NONE,
        channels=True,
    )

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Sum of squares over the negative marks, (B,)."""
        return (explanation.square() * (-annotation).clamp(min=0)).sum(dim=(1, 2, 3))


class GALSSuppress(ExplanationLoss):
    r"""No input gradient outside a soft map (GALS: Petryk et al., CVPR 2022).

        L = mean_cij |G - G T| = mean_cij |G_cij| (1 - T_ij),   G = d CE / dx

    T is F+, so every unmarked pixel is outside: by this loss's definition what nobody marked is irrelevant.
    In an image without positive marks T is 1 - F-: its negative marks alone are outside.

    Shapes:
        explanation (B, 3, H, W), the gradient of the log probability, -G; annotation (B, 1, H, W) -> scalar
        >= 0

    Example:
        >>> import torch
        >>> GALSSuppress()(torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.5000)
    """

    paper = "GALS: Petryk et al., CVPR 2022"
    uses = "positive, else negative"
    counts_unmarked = True
    differs = _GALS_DIFFERS
    request = _OF_CROSS_ENTROPY

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean absolute gradient outside, (B,)."""
        positive, negative = annotation.clamp(min=0), (-annotation).clamp(min=0)
        is_marked = has_positive(annotation)[:, None, None, None]
        outside = (1 - positive).where(is_marked, negative)
        return (explanation.abs() * outside).mean(dim=(1, 2, 3))


class GALSMatch(ExplanationLoss):
    r"""An input gradient like a soft map inside it (GALS: Petryk et al., CVPR 2022).

        L = mean_cij |G - ((1 - T) G + T)| = mean_cij T_ij |G_cij - 1|,   G = d CE / dx

    T is F+: the gradient is drawn to 1 at the positive marks and free elsewhere. An image without a positive
    mark contributes 0.

    Shapes:
        explanation (B, 3, H, W), the gradient of the log probability, -G; annotation (B, 1, H, W) -> scalar
        >= 0

    Example:
        >>> import torch
        >>> GALSMatch()(torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(2.)
    """

    paper = "GALS: Petryk et al., CVPR 2022"
    uses = "positive"
    differs = _GALS_DIFFERS
    request = _OF_CROSS_ENTROPY

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean weighted distance of the gradient from 1, (B,)."""
        return (annotation.clamp(min=0) * (-explanation - 1).abs()).mean(dim=(1, 2, 3))
