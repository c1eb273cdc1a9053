"""A loss on the relevance map of a vision transformer."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss, LossInputs, LossResult, has_positive
from lookright.losses.reduce import global_mean
from lookright.normalize import min_max
from lookright.types import Normalization, Request


class RobustViT(ExplanationLoss):
    r"""Relevance on the object, prediction kept (RobustViT: Chefer et al., NeurIPS 2022).

        L = 0.8 (2 mean (R (1 - F+))^2 + 0.3 mean ((R - 1) F+)^2) + 0.2 CE(z, argmax z)

    R: relevance, bilinear to the size of the annotation, min-max normalised there. The last term keeps the
    network sure of what it predicts. In an image without positive marks the background is its negative marks
    alone; otherwise every pixel that is not positive counts as background, marked or not.

    Args:
        foreground: weight of the foreground within the map terms
        background: weight of the background, likewise
        relevance: weight of the map terms
        prediction: weight of the cross-entropy to the own prediction
        published: leave the label out, as the paper does: annotated images have no cross-entropy to it. For
            networks that classify already; a new head would learn nothing.

    Raises:
        ConfigError: a negative weight; logits were not given.

    Shapes:
        explanation (B, 1, h, w) any scale, annotation (B, 1, H, W), logits (B, K) -> scalar >= 0

    Example:
        >>> import torch
        >>> relevance, marks = torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
        >>> RobustViT(prediction=0.0)(relevance, marks, logits=torch.zeros(1, 2)) < 1e-6
        tensor(True)
    """

    paper = "RobustViT: Chefer et al., NeurIPS 2022"
    uses = "positive, else negative"
    counts_unmarked = True
    needs_softmax = True
    differs = (
        "images keep the cross-entropy to their label, published=true leaves it out for annotated ones; the "
        "authors' gradients of the attention are constants: second_order=false"
    )
    request = Request(explainer="attention-relevance", normalization=Normalization.NONE)

    def __init__(
        self,
        foreground: float = 0.3,
        background: float = 2.0,
        relevance: float = 0.8,
        prediction: float = 0.2,
        *,
        published: bool = False,
    ) -> None:
        super().__init__()
        if not all(0 <= weight < math.inf for weight in (foreground, background, relevance, prediction)):
            raise ConfigError(
                "foreground, background, relevance, prediction: got "
                f"{foreground}, {background}, {relevance}, {prediction}, need 0 or more each"
            )
        self.foreground, self.background = foreground, background
        self.relevance, self.prediction = relevance, prediction
        self.published = published

    def compute(self, inputs: LossInputs) -> LossResult:
        """Compare at the size of the annotation; add the cross-entropy to the own prediction."""
        if inputs.logits is None:
            raise ConfigError("logits: missing; RobustViT needs the network's output, (B, K)")
        logits, annotated = inputs.logits, inputs.annotated
        maps = self.maps(inputs.explanation, inputs.full_annotation)
        kept = F.cross_entropy(logits, logits.argmax(dim=1), reduction="none")
        loss = global_mean(self.relevance * maps + self.prediction * kept, annotated)
        weight = (~annotated).to(maps.dtype) if self.published else None
        facts = {"robust_vit_own_prediction": global_mean(kept.detach(), annotated)}
        return LossResult(loss, facts, weight)

    def maps(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Weighted squared errors of background and foreground, (B,)."""
        size = annotation.shape[-2:]
        shown = min_max(F.interpolate(explanation, size=size, mode="bilinear", align_corners=False))
        positive, negative = annotation.clamp(min=0), (-annotation).clamp(min=0)
        is_marked = has_positive(annotation)[:, None, None, None]
        background = (1 - positive).where(is_marked, negative)
        squares = (shown * background).square(), ((shown - 1) * positive).square()
        outside, inside = (square.mean(dim=(1, 2, 3)) for square in squares)
        return self.background * outside + self.foreground * inside
