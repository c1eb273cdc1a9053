"""The class activation maps, each a rule for weighing channels."""

from __future__ import annotations

from torch import Tensor

from lookright.explainers.base import CAM


class GradCAM(CAM):
    r"""Grad-CAM (Selvaraju et al., ICCV 2017): channels weighed by the mean of their gradient.

        w_k = 1 / (h w) sum_ij d score / d A_kij        M = sum_k w_k A_k

    No ReLU is applied: the normalisation of the request decides about negative values. For a network that
    ends in global average pooling and a linear head, h w M is the class activation map (Zhou et al., CVPR
    2016), whose sum over the grid is h w times the logit without its bias.

    Example:
        >>> import torch
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = GradCAM(network, image_size=32)
        >>> logits, maps = explain(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 0]))
        >>> logits.shape, next(iter(maps.values())).shape[:2]
        (torch.Size([4, 2]), torch.Size([4, 1]))
    """

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the mean of the gradient over the grid, (B, C, 1, 1)."""
        return gradient.mean(dim=(2, 3), keepdim=True)
