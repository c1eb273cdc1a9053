"""The contract of an explainer: logits and differentiable explanations out of one forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.capture import capture
from lookright.explainers.score import explained_score
from lookright.models.layers import find_target_layer
from lookright.normalize import normalize
from lookright.types import Explained, Request, Score, Target


class CAM(ABC):
    r"""A class activation map: a weighted sum of the channels of the target layer's activation A.

        M = sum_k w_k A_k

    A method of this family is a subclass with one method, `weight`. One forward pass gives the logits and
    the map; the only extra work is a backward pass from the score to the target layer.

    Args:
        network: any classifier, image (B, 3, H, W) -> logits (B, K)
        target_layer: a module of the network or its name; found by itself if None
        second_order: whether the weights w stay part of the graph, so that a loss on the map also reaches
            the weights of the layers above the target layer. True is the mathematics; False is what the
            published RES, GRADIA and HAICS do: there the loss falls but those layers never learn of it.
        image_size: size of the images, used to find the target layer

    Raises:
        ConfigError: the target layer is not there, gives no map, or does not lead to the logits.
    """

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
        if isinstance(target_layer, nn.Module):
            names = [name for name, module in network.named_modules() if module is target_layer]
            if not names:
                raise ConfigError("target_layer: this module is not part of the network")
            self.layer_name, self.layer = names[0], target_layer
        else:
            found = find_target_layer(network, image_size=image_size, name=target_layer)
            self.layer_name, self.layer = found.name, found.module

    @abstractmethod
    def weight(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Weigh the channels.

        Args:
            activation: A, (B, C, h, w) float32
            gradient: d score / d A, (B, C, h, w) float32

        Returns:
            w, broadcastable to (B, C, h, w)
        """

    def __call__(self, image: Tensor, label: Tensor | None = None, *requests: Request) -> Explained:
        """Run the network once; explain what is requested (by default the label's min-max map).

        Under `torch.no_grad()` the explanations come without a graph, and only the part of the network
        above the target layer is differentiated.

        Args:
            image: (B, 3, H, W)
            label: (B,) int64; needed where a request's target is the label
            requests: which explanations; those of one score share its backward pass

        Returns:
            logits (B, K) and explanations (B, 1, h, w) float32, by request
        """
        if torch.is_inference_mode_enabled():
            raise ConfigError(
                "an explanation needs gradients: use torch.no_grad(), not torch.inference_mode()"
            )
        wanted = requests or (Request(),)
        in_graph = torch.is_grad_enabled()
        second_order = in_graph and self.second_order
        with capture(self.layer, self.layer_name, second_order=second_order) as captured:
            logits: Tensor = self.network(image)
            if captured.activation is None:
                raise ConfigError(
                    f"target_layer: '{self.layer_name}' did not run in the forward pass; name another"
                )
            maps: dict[tuple[Target, Score], Tensor] = {}
            for target, score in dict.fromkeys((r.target, r.score) for r in wanted):
                scores = explained_score(logits, label, target, score)
                maps[target, score] = self._map(scores, captured.activation, in_graph, second_order)
        explanations = {r: normalize(maps[r.target, r.score], r.normalization) for r in wanted}
        return Explained(logits if in_graph else logits.detach(), explanations)

    def _map(self, scores: Tensor, activation: Tensor, in_graph: bool, second_order: bool) -> Tensor:
        (gradient,) = torch.autograd.grad(
            scores.sum(), activation, retain_graph=True, create_graph=second_order, allow_unused=True
        )
        if gradient is None:
            raise ConfigError(
                f"target_layer: the logits do not depend on '{self.layer_name}'; name another layer"
            )
        if not in_graph:
            activation = activation.detach()
        with torch.autocast(activation.device.type, enabled=False):
            activation, gradient = activation.float(), gradient.float()
            weight = self.weight(activation, gradient)
            return (weight * activation).sum(dim=1, keepdim=True)
