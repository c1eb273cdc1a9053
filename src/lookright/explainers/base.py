"""The contract of an explainer: logits and differentiable explanations out of one forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.explain import explain
from lookright.explainers.seen import Needs, Seen
from lookright.models.layers import TargetLayer, find_target_layer
from lookright.types import Explained, Request, Rows

Order = Literal["first", "second"]


class Explainer(ABC):
    """A rule that turns one forward pass, and the gradient of a score, into an explanation.

    A subclass states in `needs` where it looks (layers, the image, the attention), or finds that out in
    `look_at`, and gives the explanation in `explain`. Running the network, watching it, differentiating the
    score once for all explainers and leaving nothing behind is done for it. The CAM family is shorter still:
    see `CAM`.

    Args:
        network: any classifier, image (B, 3, H, W) -> logits (B, K)
        target_layer: a module of the network or its name, for explainers that look at one
        second_order: whether gradients of the score stay part of the graph, so that a loss on the
            explanation also reaches the weights that they come from. True is the mathematics; False is what
            the published RES, GRADIA and HAICS do: there the loss falls but the layers above the target
            layer never learn of it.
        image_size: size of the images, used to find layers

    Example:
        >>> import torch
        >>> class Brightness(Explainer):  # a complete explainer, though a silly one
        ...     needs = Needs(gradient=False)
        ...     def explain(self, seen):
        ...         return seen.image.mean(dim=1, keepdim=True)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> Brightness(network)(torch.ones(1, 3, 2, 2), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 2, 2])
    """

    paper: ClassVar[str] = ""
    """where it comes from"""
    order: ClassVar[Order] = "second"
    """order of the derivatives of the network that a loss on this explanation takes, where `second_order`"""
    cost: ClassVar[str] = ""
    """what it costs beside the forward pass"""

    needs: Needs = Needs()

    def __init__(
        self,
        network: nn.Module,
        target_layer: nn.Module | str | None = None,
        *,
        second_order: bool = True,
        image_size: int = 224,
    ) -> None:
        self.network = network
        self.second_order = second_order
        self.image_size = image_size
        self.look_at(target_layer)

    def look_at(self, target_layer: nn.Module | str | None) -> None:  # noqa: B027 (`needs` may be fixed)
        """Decide where to look: set `needs`, if that depends on the network; here it does not.

        Args:
            target_layer: as the user gave it, or None

        Raises:
            ConfigError: the explainer does not fit the network, or looks at no layer that could be named.
        """

    @abstractmethod
    def explain(self, seen: Seen) -> Tensor:
        """Give the explanation of one score, unscaled; runs with autocast off.

        Args:
            seen: the forward pass, and the gradients at the sites of `needs`

        Returns:
            (B, C, h, w); C = 1 but for attributions to the channels of an image or a layer
        """

    def reduce(self, explanation: Tensor) -> Tensor:
        """Make one map of an explanation with channels: their sum, unless overridden.

        Args:
            explanation: (B, C, h, w)

        Returns:
            (B, 1, h, w)
        """
        return explanation if explanation.shape[1] == 1 else explanation.sum(dim=1, keepdim=True)

    def __call__(
        self,
        image: Tensor,
        label: Tensor | None = None,
        *requests: Request,
        rows: Rows | None = None,
        region: Tensor | None = None,
    ) -> Explained:
        """Run the network once; explain what is requested (by default the label's min-max map).

        Under `torch.no_grad()` the explanations come without a graph.

        Args:
            image: (B, 3, H, W)
            label: (B,) int64; needed where a request's target is the label
            requests: which explanations; those of one score share its backward pass
            rows: image and class of each explanation, where images have several annotated classes
            region: (B, 1, H, W) bool, for explainers of a part of the image

        Returns:
            logits (B, K) and explanations (B, 1, h, w) float32, by request
        """
        wanted = dict.fromkeys(requests or (Request(),), self)
        return explain(self.network, image, label, wanted, rows=rows, region=region)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that it looks at."""
        return tuple(layer.name for layer in self.needs.layers)


class LayerExplainer(Explainer):
    """An explainer that looks at one layer of the network, the target layer, found by itself if not named.

    Raises:
        ConfigError: the target layer is not there, gives no map, or does not lead to the logits.
    """

    layer: TargetLayer
    needs_gradient: ClassVar[bool] = True
    """whether it needs the gradient of the score at the layer"""

    def look_at(self, target_layer: nn.Module | str | None) -> None:
        """Look at the target layer."""
        self.layer = resolve_layer(self.network, target_layer, self.image_size)
        self.needs = Needs(layers=(self.layer,), gradient=self.needs_gradient)


class CAM(LayerExplainer):
    r"""A class activation map: a weighted sum of the channels of the target layer's activation A.

        M = sum_k w_k A_k

    A method of this family is a subclass with one method, `weight`. The only work beside the forward pass is
    a backward pass from the score to the target layer.

    Shapes:
        image (B, 3, H, W); A and its gradient (B, C, h, w) -> explanation (B, 1, h, w)

    Example:
        >>> import torch
        >>> class MyCAM(CAM):  # a complete method: Grad-CAM with positive gradients alone
        ...     def weight(self, activation, gradient):
        ...         return gradient.relu().mean(dim=(2, 3), keepdim=True)
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> MyCAM(network, "0", image_size=8)(torch.rand(1, 3, 8, 8), torch.tensor([0])).explanation.shape
        torch.Size([1, 1, 6, 6])
    """

    cost = "backward pass to the target layer"

    @abstractmethod
    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Weigh the channels.

        Args:
            activation: A, (B, C, h, w) float32
            gradient: d score / d A, (B, C, h, w) float32

        Returns:
            w, broadcastable to (B, C, h, w)
        """

    def explain(self, seen: Seen) -> Tensor:
        """Sum the weighed channels, (B, 1, h, w)."""
        activation, gradient = seen.at(self.layer)
        weight = self.weight(activation, gradient)
        if weight.shape[1:] != (activation.shape[1], 1, 1):
            return (weight * activation).sum(dim=1, keepdim=True)
        # One weight for a whole channel: a product of matrices, which writes no map for every channel. Its
        # order is that of memory, so that the gradient of the activation lies there as the activation does.
        channels, cells = weight.flatten(1), activation.flatten(2)
        if activation.is_contiguous(memory_format=torch.channels_last):
            total = cells.transpose(1, 2) @ channels[..., None]
        else:
            total = channels[:, None] @ cells
        return total.view(len(activation), 1, *activation.shape[2:])


def resolve_layer(network: nn.Module, target_layer: nn.Module | str | None, image_size: int) -> TargetLayer:
    """Find the target layer by its module, by its name, or by itself if None.

    Raises:
        ConfigError: the layer is not there, gives no map, or the module is not part of the network.
    """
    if not isinstance(target_layer, nn.Module):
        return find_target_layer(network, image_size=image_size, name=target_layer)
    names = [name for name, module in network.named_modules() if module is target_layer]
    if not names:
        raise ConfigError("target_layer: this module is not part of the network")
    return find_target_layer(network, image_size=image_size, name=names[0])
