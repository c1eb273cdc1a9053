"""The class activation maps, each a rule for weighing channels.

None applies the ReLU of its paper: the normalisation of the request decides about negative values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.base import CAM
from lookright.explainers.capture import capture
from lookright.models.modes import evaluating
from lookright.models.trace import placement
from lookright.normalize import EPSILON

_LINEAR = 1e-3  # largest departure from a constant gradient, as a share of its largest value


class ClassActivationMap(CAM):
    r"""CAM (Zhou et al., CVPR 2016): channels weighed by the linear head behind global average pooling.

        w_k = sum_ij d score / d A_kij        M = sum_k w_k A_k

    Behind global average pooling and a linear layer that sum is the weight of channel k for the class, to
    the digit, and the mean of M over the grid is the logit without its bias. Other networks are refused;
    there Grad-CAM is the generalisation, and here it is M / (h w).

    Raises:
        ConfigError: what lies between the target layer and the logits is something else.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = ClassActivationMap(network, image_size=32)
        >>> explain(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 0])).explanation.shape
        torch.Size([4, 1, 8, 8])
    """

    paper = "CAM: Zhou et al., CVPR 2016"

    def look_at(self, target_layer: nn.Module | str | None) -> None:
        """Look at the target layer, if what follows it is linear."""
        super().look_at(target_layer)
        if not self._is_pooled_and_linear():
            raise ConfigError(
                f"explainer: cam is defined where average pooling over the grid and one linear layer follow "
                f"the target layer, and after '{self.layer.name}' comes something else; use grad-cam, or "
                "name the layer right before the pooling"
            )

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the sum of the gradient over the grid, (B, C, 1, 1)."""
        return gradient.sum(dim=(2, 3), keepdim=True)

    def _is_pooled_and_linear(self) -> bool:
        """Whether the gradient of a logit is the same in every cell, and the same for two images of noise."""
        shape = (2, 3, self.image_size, self.image_size)
        image = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(**placement(self.network))
        layers = {self.layer.name: self.layer.module}
        with torch.no_grad(), evaluating(self.network), capture(layers) as captured:
            score = self.network(image)[:, 0].sum()
            (found,) = torch.autograd.grad(score, captured[self.layer.name], materialize_grads=True)
        gradient = self.layer.to_map(found)
        mean = gradient.mean(dim=(0, 2, 3), keepdim=True)
        return bool((gradient - mean).abs().max() <= _LINEAR * gradient.abs().max())


class GradCAM(CAM):
    r"""Grad-CAM (Selvaraju et al., ICCV 2017): channels weighed by the mean of their gradient.

        w_k = 1 / (h w) sum_ij d score / d A_kij        M = sum_k w_k A_k

    For a network that ends in global average pooling and a linear head, h w M is the class activation map
    (`ClassActivationMap`), and the sum of M over the grid is the logit without its bias.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = GradCAM(network, image_size=32)
        >>> logits, maps = explain(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 0]))
        >>> logits.shape, next(iter(maps.values())).shape[:2]
        (torch.Size([4, 2]), torch.Size([4, 1]))
    """

    paper = "Grad-CAM: Selvaraju et al., ICCV 2017"

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the mean of the gradient over the grid, (B, C, 1, 1)."""
        return gradient.sum(dim=(2, 3), keepdim=True) / (gradient.shape[2] * gradient.shape[3])


class GradCAMPlusPlus(CAM):
    r"""Grad-CAM++ (Chattopadhay et al., WACV 2018): positive gradients, weighed cell by cell.

        w_k = sum_ij alpha_kij relu(g_kij)        M = sum_k w_k A_k        g = d score / d A
        alpha_kij = g_kij^2 / (2 g_kij^2 + g_kij^3 sum_ab A_kab)

    The paper derives alpha from the second and third derivatives of the score. This closed form of them is
    exact for exp(score) of a score that is piecewise linear in A: a logit, of a network with nothing but
    pooling, linear layers and ReLU behind the layer. The factor exp(score) of each image is left out, as in
    the authors' code; every normalisation divides it out.

    Computed is the equal alpha = 1 / (2 + g_kij sum_ab A_kab), in which small gradients lose nothing to an
    epsilon. The paper presumes A >= 0. The sum of a channel that is negative counts as 0, or the
    denominator could vanish.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = GradCAMPlusPlus(network, image_size=32)
        >>> explain(torch.rand(1, 3, 32, 32), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 8, 8])
    """

    paper = "Grad-CAM++: Chattopadhay et al., WACV 2018"

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the weighed sum of the positive gradients over the grid, (B, C, 1, 1)."""
        positive = gradient.relu()
        total = activation.sum(dim=(2, 3), keepdim=True).relu()
        return (positive / (2 + positive * total)).sum(dim=(2, 3), keepdim=True)


class HiResCAM(CAM):
    r"""HiResCAM (Draelos & Carin, arXiv 2011.08891, 2020): every cell weighed by its own gradient.

        M = sum_k d score / d A_k * A_k

    Where only linear layers follow the target layer, the map sums to the logit without its biases. At the
    last layer before global average pooling it equals Grad-CAM.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = HiResCAM(network, "features.1", image_size=32)
        >>> explain(torch.rand(1, 3, 32, 32), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 16, 16])
    """

    paper = "HiResCAM: Draelos & Carin, 2020"

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the gradient itself, (B, C, h, w)."""
        return gradient


class LayerCAM(CAM):
    r"""LayerCAM (Jiang et al., TIP 2021): every cell weighed by the positive part of its own gradient.

        M = sum_k relu(d score / d A_k) * A_k

    Made for lower layers with a finer grid too.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = LayerCAM(network, "features.1", image_size=32)
        >>> explain(torch.rand(1, 3, 32, 32), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 16, 16])
    """

    paper = "LayerCAM: Jiang et al., TIP 2021"

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the positive part of the gradient, (B, C, h, w)."""
        return gradient.relu()


class XGradCAM(CAM):
    r"""XGrad-CAM (Fu et al., BMVC 2020): the mean of the gradient, weighed by the activation.

        w_k = sum_ij A_kij / (sum_ab A_kab) d score / d A_kij        M = sum_k w_k A_k

    So the map sums to sum_kij d score / d A_kij A_kij, as that of HiResCAM does. The denominator is moved
    away from 0 by 1e-6. The paper presumes A >= 0: of a channel whose values cancel, the weight is large.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explain = XGradCAM(network, image_size=32)
        >>> explain(torch.rand(1, 3, 32, 32), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 8, 8])
    """

    paper = "XGrad-CAM: Fu et al., BMVC 2020"

    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Give the mean of the gradient over the grid weighed by the activation, (B, C, 1, 1)."""
        total = activation.sum(dim=(2, 3), keepdim=True)
        total = torch.where(total < 0, total - EPSILON, total + EPSILON)
        return (activation * gradient).sum(dim=(2, 3), keepdim=True) / total
