"""A loss that compares maps at several scales."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss
from lookright.normalize import EPSILON
from lookright.types import Normalization, Request


class Harmonization(ExplanationLoss):
    r"""Pyramidal distance between input gradient and a graded map (Harmonization: Fel et al., NeurIPS 2022).

        M = s(mean_c d z_y / d x_c),   T = s(F+) max(M) / max(s(F+)),   s(m) = relu((m - mean m) / std m)
        L = 1/5 sum_l mean_ij (P_l(M) - P_l(T))^2

    P_l halves a map l times: level 0 is the full size, and each level blurs the one below with the binomial
    kernel [1, 4, 6, 4, 1] / 16 and halves it. max(M) is taken without gradient. Made for graded maps of where
    people look; every unmarked pixel counts as 0. An image whose F+ is the same everywhere (no positive mark,
    or nothing else) says nothing about where to look and contributes 0.

    Args:
        levels: of the pyramid

    Raises:
        ConfigError: fewer than one level.

    Shapes:
        explanation (B, 3, H, W) any scale, annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> import torch
        >>> marks = torch.zeros(1, 1, 8, 8)
        >>> marks[..., 2:5, 2:5] = 1.0
        >>> Harmonization()(7 * marks.expand(1, 3, 8, 8), marks) < 1e-6
        tensor(True)
    """

    paper = "Harmonization: Fel et al., NeurIPS 2022"
    uses = "positive"
    counts_unmarked = True
    differs = (
        "as the authors' code; but a level is halved by 2x2 means where that takes every second pixel, which "
        "would make the loss differ between an image and its mirror image"
    )
    request = Request(explainer="input-gradient", normalization=Normalization.NONE, channels=True)

    kernel: Tensor

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        if levels < 1:
            raise ConfigError(f"levels: got {levels}, need 1 or more")
        self.levels = levels
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("kernel", torch.outer(line, line)[None, None], persistent=False)

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Mean over the levels of the mean squared difference, (B,)."""
        drawn = annotation.clamp(min=0)
        lopsided = drawn.amax(dim=(1, 2, 3)) > drawn.amin(dim=(1, 2, 3))
        ours, theirs = _standardized(explanation.mean(dim=1, keepdim=True)), _standardized(drawn)
        theirs = theirs / (theirs.amax(dim=(1, 2, 3), keepdim=True) + EPSILON) * self.height(ours)
        difference = ours - theirs  # the pyramid is linear
        total = torch.zeros_like(difference[:, 0, 0, 0])
        for level in range(self.levels):
            difference = self._halved(difference) if level else difference
            total = total + difference.square().mean(dim=(1, 2, 3))
        return total / self.levels * lopsided

    def height(self, maps: Tensor) -> Tensor:
        """Give the maximum that the annotation is scaled to, without gradient, (B, 1, 1, 1)."""
        return maps.detach().amax(dim=(1, 2, 3), keepdim=True) + EPSILON

    def _halved(self, maps: Tensor) -> Tensor:
        blurred = F.conv2d(maps, self.kernel.to(maps), padding=2)
        height, width = maps.shape[-2:]
        return F.adaptive_avg_pool2d(blurred, ((height + 1) // 2, (width + 1) // 2))


def _standardized(maps: Tensor) -> Tensor:
    """Positive part of a map of mean 0 and deviation 1; zeros where it is constant."""
    centred = maps - maps.mean(dim=(1, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
    # The root of 0 has no gradient: a constant map keeps that of its numerator.
    deviation = variance.where(variance > 0, 1).sqrt() * (variance > 0)
    return (centred / (deviation + 1e-5)).relu()
