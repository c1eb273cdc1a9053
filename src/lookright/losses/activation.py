"""A loss on what the layers of a network give, before any gradient."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from lookright.losses.base import ExplanationLoss, LossInputs, LossResult
from lookright.losses.reduce import global_mean
from lookright.types import Normalization, Request


class TAP(ExplanationLoss):
    r"""Targeted activation penalty of one layer (TAP: Zhang et al., AAAI 2024).

        L = || P(F-) * sum_k A_k ||_F^2,   P = 3x3 max pooling (stride 1), then average pooling to the layer

    A is what the layer gives. The paper's loss is the mean of this over the stages of the network, which the
    method `tap` makes. It knows no class, and reaches no weight above its layer. An image without a negative
    mark contributes 0.

    Args:
        layer: name of the layer; None leaves it to the explainer: the last one that gives maps
        published: pool as the authors' code does, in steps from stage to stage, so that marks grow by a cell
            of each of them; here in halvings, which is their code for a VGG

    Shapes:
        explanation (B, 1, h, w) any scale, annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> marks = torch.zeros(1, 1, 8, 8)
        >>> marks[..., :4, :] = -1
        >>> TAP()(torch.tensor([[[[2.0], [1.0]]]]), marks)  # the half next to the marks: 1/4 of it
        tensor(4.0625)
    """

    paper = "TAP: Zhang et al., AAAI 2024"
    uses = "negative"
    cost = "nothing: first order, no backward pass of its own"
    differs = (
        "the stages are found by resolution: a stem of its own resolution is one of them, and of a stage "
        "that ends in pooling it is the map before; annotations come from people, not from a teacher; "
        "published=true pools them as the authors' code does"
    )
    request = Request(explainer="activation", normalization=Normalization.NONE)

    def __init__(self, layer: str | None = None, *, published: bool = False) -> None:
        super().__init__()
        self.request = replace(self.request, layer=layer)
        self.published = published

    def compute(self, inputs: LossInputs) -> LossResult:
        """Pool the full-size marks to the layer; squared Frobenius norm."""
        negative = (-inputs.full_annotation).clamp(min=0)
        penalised = self.pool(negative, (inputs.explanation.shape[-2], inputs.explanation.shape[-1]))
        values = (penalised * inputs.explanation).square().sum(dim=(1, 2, 3))
        return LossResult(global_mean(values, inputs.annotated))

    def pool(self, negative: Tensor, grid: tuple[int, int]) -> Tensor:
        """Bring F-, (B, 1, H, W) in [0, 1], to the grid of a layer, (B, 1, h, w)."""
        while self.published and all(
            n >= 2 * cells for n, cells in zip(negative.shape[-2:], grid, strict=True)
        ):
            half = (negative.shape[-2] // 2, negative.shape[-1] // 2)
            negative = F.adaptive_avg_pool2d(_grown(negative), half)
        if self.published or negative.shape[-2:] == grid:
            return F.adaptive_avg_pool2d(negative, grid)
        return F.adaptive_avg_pool2d(_grown(negative), grid)


def _grown(marks: Tensor) -> Tensor:
    return F.max_pool2d(marks, kernel_size=3, stride=1, padding=1)
