"""Linear heads behind global average pooling, many at once: logits and class activations in one product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lookright.explainers import Explainer
from lookright.explainers.cam import ClassActivationMap, GradCAM, HiResCAM
from lookright.explainers.score import chosen_class, explained_score
from lookright.normalize import normalize
from lookright.types import Request


class Head(NamedTuple):
    """The trained part of a network: one linear layer."""

    weight: nn.Parameter
    """(K, C), or (K, C, 1, 1) of a convolution"""
    bias: nn.Parameter | None
    """(K,)"""
    name: str
    """of the module"""


def find_head(network: nn.Module) -> Head | None:
    """Find the linear layer, or 1 x 1 convolution, that is all that learns; None if it is something else.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3).requires_grad_(False), nn.Flatten(), nn.Linear(4, 2))
        >>> find_head(network).name
        '2'
    """
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    for name, module in network.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if not own:
            continue
        linear = isinstance(module, nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        )
        if not linear or {id(p) for p in own} != trained or id(module.weight) not in trained:
            return None
        return Head(module.weight, module.bias, name)
    return None


def map_scale(explainer: Explainer, cells: int) -> float | None:
    """Factor between `sum_c W_kc A_c` and the explanation of logit k; None where that is no such multiple.

    Behind global average pooling over h w cells and a linear layer W the gradient of logit k at channel c is
    W_kc / (h w) in every cell, so that Grad-CAM (Selvaraju et al., ICCV 2017) and HiResCAM (Draelos & Carin,
    2020) are that sum divided by h w, and the class activation map (Zhou et al., CVPR 2016) is the sum.

    Args:
        explainer: of a network with such a head
        cells: h w
    """
    scales: dict[type[Explainer], float] = {GradCAM: 1 / cells, HiResCAM: 1 / cells, ClassActivationMap: 1.0}
    return scales.get(type(explainer)) if explainer.second_order else None


def project(features: Tensor, weight: Tensor) -> Tensor:
    """Apply heads to every cell, those of one seed in one product.

    Args:
        features: (S, B, h w, C), the images of each seed
        weight: (S, M, K, C), M heads of each

    Returns:
        (S, M, K, B, h w)

    Example:
        >>> project(torch.ones(1, 2, 4, 3), torch.ones(1, 5, 2, 3)).shape
        torch.Size([1, 5, 2, 2, 4])
    """
    seeds, images, cells, channels = features.shape
    flat = torch.bmm(weight.flatten(1, 2), features.view(seeds, images * cells, channels).transpose(1, 2))
    return flat.view(*weight.shape[:3], images, cells)


def logits_of(activation: Tensor, bias: Tensor) -> Tensor:
    """Pool class activations to logits: z_k = 1 / (h w) sum_ij (W_k A_ij) + b_k.

    Args:
        activation: (R, K, B, h w), of R heads
        bias: (R, K)

    Returns:
        (R, B, K)
    """
    return activation.mean(dim=3).transpose(1, 2) + bias[:, None]


class ClosedForm(NamedTuple):
    """How explanations of a network come from the activations of its classes."""

    head: Head
    scale: float
    """see `map_scale`"""
    grid: tuple[int, int]
    """h and w"""

    def explain(
        self, activation: Tensor, logits: Tensor, label: Tensor | None, requests: Iterable[Request]
    ) -> dict[Request, Tensor]:
        r"""Explain scores of the logits.

            M = scale * sum_k (d score / d z_k) W_k A

        Args:
            activation: W_k A, (R, K, B, h w)
            logits: z, (R, B, K)
            label: (R, B); needed where a target is the label
            requests: target, score and normalisation of each explanation

        Returns:
            request -> (R, B, 1, h, w)
        """
        return {request: self._explain(activation, logits, label, request) for request in requests}

    def _explain(self, activation: Tensor, logits: Tensor, label: Tensor | None, request: Request) -> Tensor:
        heads, images, classes = logits.shape
        flat = logits.reshape(heads * images, classes)
        chosen = chosen_class(flat, None if label is None else label.reshape(-1), request.target)
        with torch.enable_grad():
            if not flat.requires_grad:
                flat = flat.detach().requires_grad_()
            score = explained_score(flat, chosen, request.score).sum()
            (slope,) = torch.autograd.grad(score, flat, create_graph=logits.requires_grad)
        by_class = slope.view(heads, images, classes).transpose(1, 2)[..., None]
        maps = (by_class * activation).sum(dim=1) * self.scale
        normalized = normalize(maps.view(heads * images, 1, *self.grid), request.normalization)
        return normalized.view(heads, images, 1, *self.grid)
