"""A loss on the contextual decomposition of the logits."""

from __future__ import annotations

from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss, LossInputs, LossResult
from lookright.losses.reduce import global_mean
from lookright.types import Normalization, Request


class CDEP(ExplanationLoss):
    r"""Contextual decomposition explanation penalty (CDEP: Rieger et al., ICML 2020).

        L = mean_k e^beta_k / (e^beta_k + e^gamma_k)

    beta and gamma: the contributions of the negative marks and of the rest to the logits (contextual
    decomposition; they sum to the logits in evaluation mode). An image without a negative mark contributes
    0. Marks are in or out: their magnitude does not count.

    Shapes:
        explanation (B, 2K, 1, 1), beta of all classes, then gamma; annotation (B, 1, H, W) -> scalar in
        [0, 1]

    Raises:
        ConfigError: the explanation is no pair of parts.

    Example:
        >>> import torch
        >>> CDEP()(torch.zeros(1, 4, 1, 1), -torch.ones(1, 1, 2, 2))
        tensor(0.5000)
    """

    paper = "CDEP: Rieger et al., ICML 2020"
    uses = "negative"
    cost = "a pass of two tensors through the network"
    differs = (
        "mean over the annotated images, the authors' over those with a mask; no fixed mask for all images"
    )
    request = Request(explainer="contextual-decomposition", normalization=Normalization.NONE, channels=True)

    def compute(self, inputs: LossInputs) -> LossResult:
        """Share of the region, mean over the classes."""
        parts = inputs.explanation
        if parts.shape[1] % 2 or parts.shape[2:] != (1, 1):
            raise ConfigError(f"explanation: got shape {tuple(parts.shape)}, need (B, 2K, 1, 1)")
        relevant, irrelevant = parts.flatten(1).chunk(2, dim=1)
        has_region = (inputs.full_annotation < 0).flatten(1).any(dim=1)
        values = (relevant - irrelevant).sigmoid().mean(dim=1) * has_region
        return LossResult(global_mean(values, inputs.annotated))
