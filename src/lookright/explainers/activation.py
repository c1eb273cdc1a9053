"""What a layer gives, with no gradient at all."""

from __future__ import annotations

from torch import Tensor

from lookright.explainers.base import LayerExplainer
from lookright.explainers.seen import Seen


class Activation(LayerExplainer):
    r"""The activation of a layer, summed over its channels: what TAP penalises (Zhang et al., AAAI 2024).

        M = sum_k A_k

    It knows no class: the same for every score. A loss on it reaches the weights up to the layer, those
    behind it never. `request.channels` gives A itself, (B, C, h, w).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> explain = Activation(network, "1", image_size=8)
        >>> explain(torch.rand(1, 3, 8, 8), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 6, 6])
    """

    paper = "activation: Zhang et al. (TAP), AAAI 2024"
    order = "first"
    cost = "none"
    needs_gradient = False

    def explain(self, seen: Seen) -> Tensor:
        """Give the activation, (B, C, h, w)."""
        return seen.activation_at(self.layer)
