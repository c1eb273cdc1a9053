"""Explainers of a part of the image: what it contributes, and what it could change."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.base import Explainer
from lookright.explainers.propagation import (
    contextual_decomposition,
    input_gradient_bounds,
    loss_gradient_bounds,
    output_bounds,
)
from lookright.explainers.seen import Needs, Seen


class RegionExplainer(Explainer):
    """An explainer of a region of the image; in training that is where the evidence must not be.

    It runs a pass of its own through the network, in evaluation mode.
    """

    order = "first"
    needs = Needs(gradient=False, region=True)

    def explain(self, seen: Seen) -> Tensor:
        """Explain the region."""
        if seen.region is None:
            raise ConfigError(
                "region: missing; this explainer explains a part of the image, (B, 1, H, W) bool"
            )
        return self.explain_region(seen, seen.region)

    @abstractmethod
    def explain_region(self, seen: Seen, region: Tensor) -> Tensor:
        """Explain the region, (B, C, h, w)."""


class ContextualDecomposition(RegionExplainer):
    """Contextual decomposition of the logits into what the region contributes and what the rest does.

    For CNNs: Singh, Murdoch & Yu, ICLR 2019; see `propagation.contextual_decomposition` for the equations and
    the layers that it is defined for. The explanation is (B, 2K, 1, 1): first the K contributions of the
    region, then those of the rest. It is of all classes, so the score does not matter.

    Example:
        >>> from lookright.types import Normalization, Request
        >>> request = Request(normalization=Normalization.NONE, channels=True)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> explain = ContextualDecomposition(network)
        >>> explain(torch.rand(1, 3, 2, 2), torch.tensor([0]), request, region=left).explanation.shape
        torch.Size([1, 4, 1, 1])
    """

    paper = "contextual decomposition: Singh et al., ICLR 2019"
    cost = "pass of two tensors through the network"

    def explain_region(self, seen: Seen, region: Tensor) -> Tensor:
        """Decompose the logits, (B, 2K, 1, 1)."""
        parts = contextual_decomposition(self.network, seen.image, region)
        return torch.cat(parts, dim=1)[:, :, None, None]


class _BoxExplainer(RegionExplainer):
    """An explainer of what could happen in a box of images around each image."""

    def __init__(
        self,
        network: nn.Module,
        target_layer: nn.Module | str | None = None,
        *,
        second_order: bool = True,
        image_size: int = 224,
        epsilon: float = 0.1,
    ) -> None:
        super().__init__(network, target_layer, second_order=second_order, image_size=image_size)
        if not 0 <= epsilon < math.inf:
            raise ConfigError(f"epsilon: got {epsilon}, need 0 or more")
        self.epsilon = epsilon


class OutputBounds(_BoxExplainer):
    """Bounds of the logits while the pixels of the region move by at most epsilon (Gowal et al., 2019).

        l_k <= z_k(x') <= u_k   for all x' with |x'_ij - x_ij| <= epsilon in the region, x' = x outside

    See `propagation.output_bounds`. The explanation is (B, 2K, 1, 1): K lower bounds, then K upper ones.

    Args:
        epsilon: half the side of the box, in units of the normalised image

    Raises:
        ConfigError: epsilon is negative or not finite, a layer that no bound is known of.
        NonFiniteError: the bounds overflow.

    Example:
        >>> from lookright.types import Normalization, Request
        >>> request = Request(normalization=Normalization.NONE, channels=True)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> explain = OutputBounds(network, epsilon=0.5)
        >>> explain(torch.rand(1, 3, 2, 2), torch.tensor([0]), request, region=left).explanation.shape
        torch.Size([1, 4, 1, 1])
    """

    paper = "interval bound propagation: Gowal et al., ICCV 2019"
    cost = "interval pass through the network"

    def explain_region(self, seen: Seen, region: Tensor) -> Tensor:
        """Bound the logits, (B, 2K, 1, 1)."""
        bounds = output_bounds(self.network, seen.image, region, self.epsilon)
        return torch.cat(bounds, dim=1)[:, :, None, None]


class InputGradientBounds(_BoxExplainer):
    """Bound of the size of the input gradient while the pixels of the region move by at most epsilon.

        B_cij = max(|l_cij|, |u_cij|),   l <= d s / d x' <= u   for all x' in the box of `OutputBounds`

    s is the cross-entropy, or the logit. See `propagation.loss_gradient_bounds` and `input_gradient_bounds`.
    The explanation is (B, 3, H, W).

    Args:
        epsilon: half the side of the box, in units of the normalised image
        of: whose gradient: 'cross-entropy' (that of the explained class, as R4 has it) or 'logit'

    Raises:
        ConfigError: epsilon is negative or not finite, another `of`, a layer that no bound is known of.
        NonFiniteError: the bounds overflow.

    Example:
        >>> from lookright.types import Normalization, Request
        >>> request = Request(normalization=Normalization.NONE, channels=True)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> explain = InputGradientBounds(network, epsilon=0.5)
        >>> explain(torch.rand(1, 3, 2, 2), torch.tensor([0]), request, region=left).explanation.shape
        torch.Size([1, 3, 2, 2])
    """

    paper = "Wicker et al., ICLR 2023; R4: Ghitu et al., TMLR 2025"
    cost = "interval pass through the network and back"

    def __init__(
        self,
        network: nn.Module,
        target_layer: nn.Module | str | None = None,
        *,
        second_order: bool = True,
        image_size: int = 224,
        epsilon: float = 0.1,
        of: str = "cross-entropy",
    ) -> None:
        super().__init__(
            network, target_layer, second_order=second_order, image_size=image_size, epsilon=epsilon
        )
        if of not in ("cross-entropy", "logit"):
            raise ConfigError(f"of: got '{of}', choose one of cross-entropy, logit")
        self.bound = loss_gradient_bounds if of == "cross-entropy" else input_gradient_bounds

    def explain_region(self, seen: Seen, region: Tensor) -> Tensor:
        """Bound the gradient, (B, 3, H, W)."""
        lower, upper = self.bound(self.network, seen.image, region, self.epsilon, seen.chosen)
        return torch.maximum(lower.abs(), upper.abs())
