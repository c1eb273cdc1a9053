"""Losses that compare explanation and annotation cell by cell."""

from __future__ import annotations

import enum
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.losses.base import ExplanationLoss, LossInputs, LossResult, has_positive
from lookright.losses.reduce import global_mean
from lookright.normalize import EPSILON
from lookright.types import Normalization, Request


class Counted(enum.Enum):
    """Which cells of an image a loss counts."""

    ALL = "all"
    """Every cell: by the loss's definition what nobody marked is irrelevant."""
    MARKED = "marked"
    """The cells that are marked, positive or negative."""
    POSITIVE = "positive"
    """The cells that are marked positive."""


class Pointwise(ExplanationLoss):
    r"""Base of the losses that compare with the marks cell by cell; a subclass gives `cells`.

        L = sum w_ij l(M_ij, F+_ij) / sum w_ij,   over the cells that count

    The weight w is 1. With `magnitude_is_weight` a mark is its sign, so F+ is 0 or 1, and its magnitude is
    the weight of its cell; unmarked cells that count keep 1. An image without a cell that counts contributes
    0.

    Example:
        >>> class Squared(Pointwise):  # a complete loss
        ...     def cells(self, explanation, target):
        ...         return (explanation - target).square()
        >>> Squared()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.5000)
    """

    counted: ClassVar[Counted] = Counted.ALL
    """the cells that count"""
    needs_positive: ClassVar[bool] = False
    """whether an image without a positive mark contributes 0"""

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Give the loss of each cell, finite.

        Args:
            explanation: M, (B, 1, h, w)
            target: F+, (B, 1, h, w) in [0, 1]

        Returns:
            (B, 1, h, w)
        """
        raise TypeError(f"{type(self).__name__} must override cells")

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Weighted mean over the cells that count, (B,)."""
        weight = torch.ones_like(annotation)
        if self.magnitude_is_weight:
            weight, annotation = annotation.abs().where(annotation != 0, weight), annotation.sign()
        if self.counted is not Counted.ALL:
            counts = annotation > 0 if self.counted is Counted.POSITIVE else annotation != 0
            weight = weight * counts
        cells = self.cells(explanation, annotation.clamp(min=0)) * weight
        values = cells.sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp(min=EPSILON)
        return values * has_positive(annotation) if self.needs_positive else values


class HAICS(Pointwise):
    r"""Binary cross-entropy on the marked cells (HAICS: Shen et al., CHI Extended Abstracts 2021).

        L = mean_{F != 0} -[F+ log M + (1 - F+) log(1 - M)]

    The mean is over the marked cells of an image; unmarked cells do not count, and an image without any mark
    contributes 0. A graded positive mark is the probability that M shall have, and the magnitude of a
    negative one does not count, unless magnitudes are weights (--combine agreement). M is clamped to
    [1e-6, 1 - 1e-6].

    Args:
        published: as the RES authors' code has it: the mean over all cells of all annotated images, times the
            share of these cells that is marked. It pools over the batch, and an unmarked cell counts as
            irrelevant.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> HAICS()(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.6931)
    """

    paper = "HAICS: Shen et al., CHI EA 2021"
    uses = "positive, negative"
    differs = "published=true is the variant in the RES authors' code; HAICS's own code was not at hand"
    counted = Counted.MARKED

    def __init__(self, *, published: bool = False) -> None:
        super().__init__()
        self.published = self.pools = self.counts_unmarked = published

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy, (B, 1, h, w)."""
        probability = explanation.clamp(EPSILON, 1 - EPSILON)
        return F.binary_cross_entropy(probability, target, reduction="none")

    def compute(self, inputs: LossInputs) -> LossResult:
        """Reduce by image, or as published."""
        if not self.published:
            return super().compute(inputs)
        marked = (inputs.annotation != 0).to(inputs.explanation.dtype)
        cells = self.cells(inputs.explanation, inputs.annotation.clamp(min=0))
        return LossResult(global_mean(cells, inputs.annotated) * global_mean(marked, inputs.annotated))


class HINT(Pointwise):
    r"""Mean squared distance to the positive annotation (XIL form of HINT: Friedrich et al., Nature MI 2023).

        L = mean_ij (M_ij - F+_ij)^2

    A simplification of HINT (Selvaraju et al., ICCV 2019), which ranks regions. Every unmarked cell counts as
    0; an image without a positive mark contributes 0. A graded mark is the height that M shall have, or with
    --combine agreement the weight of its cell.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> HINT()(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.2500)
    """

    paper = "HINT: Selvaraju et al., ICCV 2019, as in Friedrich et al., Nature MI 2023"
    uses = "positive"
    counts_unmarked = True
    differs = "the XIL code can also sum over cells and enlarge the map to the image"
    needs_positive = True

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Squared difference, (B, 1, h, w)."""
        return (explanation - target).square()


_RAO = "Rao et al., ICCV 2023"
_RAO_DIFFERS = (
    "on the grid of the map, a mean over images; the authors' code enlarges maps and adds images up"
)


class L1(Pointwise):
    r"""L1 distance between the positive explanation and the positive annotation (Rao et al., ICCV 2023).

        L = mean_ij |A_ij - F+_ij|,   A = relu(map) / max relu(map)

    `GRADIA` on another normalisation. Every unmarked cell counts as 0; an image without a positive mark
    contributes 0. Boxes or masks; a graded mark is the height that A shall have, or with --combine agreement
    the weight of its cell.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> L1()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.5000)
    """

    paper = f"L1: {_RAO}"
    uses = "positive"
    counts_unmarked = True
    differs = _RAO_DIFFERS
    request = Request(normalization=Normalization.RELU_MAX)
    needs_positive = True

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Absolute difference, (B, 1, h, w)."""
        return (explanation - target).abs()


class PPCE(Pointwise):
    r"""Per-pixel cross-entropy on the positive annotation (Rao et al., ICCV 2023).

        L = mean_{F > 0} -log A_ij,   A = relu(map) / max relu(map)

    It asks for a high map inside and does not mind one outside. An image without a positive mark contributes
    0. Boxes or masks: the magnitude of a mark does not count, unless it is its weight (--combine agreement).
    A is clamped to [1e-6, 1 - 1e-6].

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> PPCE()(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.6931)
    """

    paper = f"PPCE: {_RAO}"
    uses = "positive"
    differs = _RAO_DIFFERS
    request = Request(normalization=Normalization.RELU_MAX)
    counted = Counted.POSITIVE

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Negative logarithm, (B, 1, h, w)."""
        return -explanation.clamp(EPSILON, 1 - EPSILON).log()
