"""RES: a robust objective for guiding explanations with human annotations (Gao et al., KDD 2022)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lookright.choices import choice
from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss, LossInputs, LossResult
from lookright.losses.imputers import GaussianImputer, Imputer
from lookright.losses.reduce import gather_cells, global_mean, global_sum
from lookright.losses.threshold import adaptive_threshold
from lookright.types import Normalization

SHARPNESS = 5.0
"""Steepness of the tanh that stands in for the step at the threshold."""
PLAIN = 2.0
"""Steepness without tanh: that of 2 M - 1, which takes [0, 1] to [-1, 1]."""

_REACH = {
    Normalization.MIN_MAX: (0.0, 1.0),
    Normalization.RELU_MAX: (0.0, 1.0),
    Normalization.MAX_ABS: (-1.0, 1.0),
    Normalization.NONE: (-math.inf, math.inf),
}
"""Between which values the cells of a map lie."""


class RES(ExplanationLoss):
    r"""The RES objective (Gao et al., "RES: A Robust Framework for Guiding Visual Explanation", KDD 2022).

        L   = relu(eff(M, F) - eta) + mean |M - g(F+)| + reg * MSE(g(F+), F+)
        eff = sum_{F != 0} |tanh(5 (M - alpha)) - F| / #{F != 0}

    Three parts answer three problems of human annotations, each with its own switch:

    * *inaccurate boundary*: the slack eta forgives a small disagreement (`slack=0` switches it off);
    * *incomplete region*: the imputer g completes what was drawn (`imputer=AsDrawn()` switches it off);
    * *inconsistent distribution*: the adaptive threshold alpha cuts the continuous map where it agrees best
      with the binary marks (`threshold=0.5`, or another number that the map can reach, fixes it).

    RES-G has the fixed `GaussianImputer`, RES-L a learned one (`shallow_imputer`, `deep_imputer`). eff and
    alpha are taken over the marked cells of all annotated images of the batch (over all processes);
    `per_image=True` takes them image by image, and the mean of the hinges. Unmarked cells do not enter eff;
    they do enter |M - g(F+)|, by definition, as do images with only negative marks.

    A graded mark is a target, not a weight, whatever --combine says: tanh shall come to F, and the map to
    g(F+), so that a faint positive mark asks for a map just above alpha. In alpha its sign counts.

    tanh stands in for the step at alpha. `tanh=False` puts clamp(2 (M - alpha), -1, 1) in its place: alpha
    still goes to 0, and a fixed alpha of 0.5 makes it 2 M - 1. The clamp keeps eff in [0, 2], so that eta
    means the same, and does not pull a positive cell far above alpha back to the line.

    Args:
        imputer: g
        slack: eta >= 0, in units of eff, which lies in [0, 2]
        threshold: None for the adaptive alpha, or a fixed one that the map can reach: in [0, 1], or in
            [-1, 1] with max-abs; any number with none
        regularizer: reg >= 0; keeps a learned g near F+
        stop_gradient: g is a fixed target of the map and learns from the regulariser alone, so that it
            cannot chase the map
        per_image: solve alpha, and apply the slack, per image
        tanh: false compares the marks with a straight line through alpha, cut off at -1 and 1
        normalize: min-max, relu-max, max-abs or none: how the map is scaled, image by image. The steepness,
            a fixed alpha, eta and |M - g(F+)| are made for [0, 1]; on an unscaled map they have no scale

    Shapes:
        explanation (B, 1, h, w) in [0, 1], or as `normalize` has it, annotation (B, 1, H, W) -> scalar >= 0

    Raises:
        ConfigError: an option out of its range.

    Example:
        >>> annotation = torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]]])
        >>> good, bad = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]]), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
        >>> bool(RES()(good, annotation) < RES()(bad, annotation))
        True
    """

    paper = "RES: Gao et al., KDD 2022"
    uses = "positive, negative"
    counts_unmarked = True
    pools = True

    def __init__(
        self,
        imputer: Imputer | None = None,
        *,
        slack: float = 0.1,
        threshold: float | None = None,
        regularizer: float = 0.0,
        stop_gradient: bool = False,
        per_image: bool = False,
        tanh: bool = True,
        normalize: Normalization | str = Normalization.MIN_MAX,
    ) -> None:
        super().__init__()
        if imputer is not None and not isinstance(imputer, Imputer):
            raise ConfigError(
                f"imputer: got {imputer!r}, need an Imputer: AsDrawn(), GaussianImputer(), "
                "shallow_imputer(32) (S1), deep_imputer(32) (D1)"
            )
        if not 0 <= slack < math.inf:  # which NaN fails as well
            raise ConfigError(f"slack: got {slack}, need 0 or more")
        if not 0 <= regularizer < math.inf:
            raise ConfigError(f"regularizer: got {regularizer}, need 0 or more")
        scaled = choice("normalize", normalize, Normalization)
        lowest, highest = _REACH[scaled]
        if threshold is not None and not (lowest <= threshold <= highest and math.isfinite(threshold)):
            raise ConfigError(
                f"threshold: got {threshold}, need a number that a map can reach that is scaled by "
                f"{scaled.value}, in [{lowest:g}, {highest:g}], or None for the adaptive one"
            )
        self.imputer = GaussianImputer() if imputer is None else imputer
        self.slack = slack
        self.threshold = threshold
        self.regularizer = regularizer
        self.stop_gradient = stop_gradient
        self.per_image = per_image
        self.tanh = tanh
        self.request = replace(self.request, normalization=scaled)

    def compute(self, inputs: LossInputs) -> LossResult:
        """Add the three parts."""
        explanation, annotation = inputs.explanation, inputs.annotation
        positive = annotation.clamp(min=0)
        at_image_size, sees_image = self.imputer.at_image_size, self.imputer.sees_image
        full = inputs.full_annotation.clamp(min=0) if at_image_size else positive
        imputed = self.imputer(positive, full, inputs.image if sees_image else None)
        target = imputed.detach() if self.stop_gradient else imputed

        alpha = self.alpha(explanation, annotation)
        disagreement = self._disagreement(explanation, annotation, alpha, inputs.annotated)
        imputation = global_mean((explanation - target).abs(), inputs.annotated)
        drift = global_mean((imputed - positive).square(), inputs.annotated)

        value = disagreement + imputation
        if self.regularizer:
            value = value + self.regularizer * drift
        facts = {
            "alpha": global_mean(alpha, inputs.annotated) if self.per_image else alpha.mean(),
            "disagreement": disagreement.detach(),
            "imputation": imputation.detach(),
            "imputer_drift": drift.detach(),
        }
        return LossResult(value, facts)

    def alpha(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Give the threshold: (1,) for the batch, (B,) with `per_image`; without gradient.

        Args:
            explanation: (B, 1, h, w)
            annotation: (B, 1, h, w) on the same grid, zero where an image is not annotated
        """
        rows = explanation.shape[0] if self.per_image else 1
        if self.threshold is not None:
            return explanation.new_full((rows,), self.threshold)
        if self.per_image:
            return adaptive_threshold(explanation.flatten(1), annotation.flatten(1))
        return adaptive_threshold(
            gather_cells(explanation.flatten())[None], gather_cells(annotation.flatten())[None]
        )

    def _disagreement(
        self, explanation: Tensor, annotation: Tensor, alpha: Tensor, annotated: Tensor
    ) -> Tensor:
        """relu(eff - eta): how far the thresholded explanation is from the marks, beyond the slack."""
        marked = annotation != 0
        above = explanation - alpha[:, None, None, None]
        surrogate = torch.tanh(SHARPNESS * above) if self.tanh else (PLAIN * above).clamp(-1, 1)
        distance = (surrogate - annotation).abs() * marked
        if not self.per_image:
            count = global_sum(marked.sum().to(distance.dtype))
            return (global_sum(distance.sum()) / count.clamp(min=1) - self.slack).relu()
        eff = distance.sum(dim=(1, 2, 3)) / marked.sum(dim=(1, 2, 3)).clamp(min=1)
        return global_mean((eff - self.slack).relu(), annotated)
