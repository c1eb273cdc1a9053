"""Losses on what could happen if the negative marks looked different: bounds over a box of images."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss, LossInputs, LossResult
from lookright.losses.reduce import global_mean
from lookright.types import Normalization, Request


class R4(ExplanationLoss):
    r"""Bound of the input gradient at the negative marks (R4: Ghitu et al., TMLR 2025).

        L = mean_cij F-_ij B_cij,   B >= |d CE / d x'_c|  for all x' in the box

    The box holds all images whose pixels at the negative marks differ by at most epsilon. Where RRR makes the
    gradient small at the image itself, this makes it small around it. The mean is over all pixels; the weight
    of a graded mark is its magnitude. An image without a negative mark contributes 0.

    Args:
        squared: square the bound, as RRR does with the gradient
        epsilon: half the side of the box, in the units of the normalised image; None is the explainer's

    Raises:
        ConfigError: epsilon is negative or not finite.

    Shapes:
        explanation (B, 3, H, W) >= 0, annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> R4()(torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[[0.0, -1.0]]]]))
        tensor(0.5000)
    """

    paper = "R4: Ghitu et al., TMLR 2025"
    uses = "negative"
    cost = "an interval pass through the network and back"
    differs = "the larger end of the gradient's interval counts; the authors' code adds up both"
    needs_softmax = True
    request = Request(explainer="input-gradient-bounds", normalization=Normalization.NONE, channels=True)

    def __init__(self, *, squared: bool = False, epsilon: float | None = None) -> None:
        super().__init__()
        self.squared = squared
        self.request = _with_epsilon(self.request, epsilon)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean bound at the negative marks, (B,)."""
        bound = explanation.square() if self.squared else explanation.abs()
        return (bound * (-annotation).clamp(min=0)).mean(dim=(1, 2, 3))


class IBPEx(ExplanationLoss):
    r"""Cross-entropy of the worst case over the negative marks (IBP-Ex: Heo et al., NeurIPS 2023).

        L = -log softmax(w)_y,   w_y = lower bound of z_y,   w_k = upper bound of z_k for k != y

    The bounds hold for all images whose pixels at the negative marks differ by at most epsilon. An image
    without a negative mark contributes 0.

    Args:
        epsilon: half the side of the box, in the units of the normalised image; None is the explainer's

    Raises:
        ConfigError: epsilon is negative or not finite; labels were not given; the explanation is no pair of
            bounds.

    Shapes:
        explanation (B, 2K, 1, 1), lower bounds of all classes, then upper ones; annotation (B, 1, H, W),
        label (B,) -> scalar >= 0

    Example:
        >>> import torch
        >>> bounds = torch.tensor([0.0, -1.0, 2.0, 0.0]).view(1, 4, 1, 1)  # z_0 in [0, 2], z_1 in [-1, 0]
        >>> IBPEx()(bounds, -torch.ones(1, 1, 2, 2), label=torch.tensor([0]))
        tensor(0.6931)
    """

    paper = "IBP-Ex: Heo et al., NeurIPS 2023"
    uses = "negative"
    cost = "an interval pass through the network"
    differs = "epsilon stays, where the authors raise it over the training and lower the weight of the labels"
    needs_softmax = True
    request = Request(explainer="output-bounds", normalization=Normalization.NONE, channels=True)

    def __init__(self, *, epsilon: float | None = None) -> None:
        super().__init__()
        self.request = _with_epsilon(self.request, epsilon)

    def compute(self, inputs: LossInputs) -> LossResult:
        """Cross-entropy of the worst logits."""
        parts, label = inputs.explanation, inputs.label
        if parts.shape[1] % 2 or parts.shape[2:] != (1, 1):
            raise ConfigError(f"explanation: got shape {tuple(parts.shape)}, need (B, 2K, 1, 1)")
        if label is None:
            raise ConfigError("label: missing; IBPEx needs the class of each image, (B,) int64")
        lower, upper = parts.flatten(1).chunk(2, dim=1)
        is_label = torch.arange(lower.shape[1], device=label.device) == label[:, None]
        has_region = (inputs.full_annotation < 0).flatten(1).any(dim=1)
        values = F.cross_entropy(lower.where(is_label, upper), label, reduction="none") * has_region
        return LossResult(global_mean(values, inputs.annotated))


def _with_epsilon(request: Request, epsilon: float | None) -> Request:
    """Ask the explainer for a box of that size."""
    if epsilon is None:
        return request
    if not 0 <= epsilon < math.inf:
        raise ConfigError(f"epsilon: got {epsilon}, need a finite number of at least 0")
    return replace(request, explainer=f"{request.explainer}(epsilon={epsilon})")
