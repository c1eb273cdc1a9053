"""How much every patch of a transformer counts for its decision: attention rollout and relevance."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.attention import capture_attention
from lookright.models.modes import evaluating
from lookright.models.trace import placement
from lookright.precision import full_precision

_OTHERS = "use Grad-CAM or another class activation map, or an input gradient"

_MOST_PREFIX = 16  # a class token and a dozen registers: with more, the tokens are something else


class HeadFusion(enum.Enum):
    """How rollout makes one matrix of the heads of a layer."""

    MEAN = "mean"
    """The paper's."""
    MAX = "max"
    MIN = "min"


def rollout(
    attentions: Sequence[Tensor], head_fusion: HeadFusion = HeadFusion.MEAN, discard: float = 0.0
) -> Tensor:
    r"""Attention rollout (Abnar & Zuidema, ACL 2020): how attention passes through all layers.

        Â_l = 1/2 A_l + 1/2 I, its rows normalised to 1        R = Â_L ... Â_2 Â_1

    It knows no class: the same for every score. A_l is the mean over heads in the paper; maximum, minimum
    and `discard` are the variant of Gildenblat's vit-explain.

    Args:
        attentions: (B, heads, N, N) of each layer, the first layer first, rows summing to 1
        head_fusion: how the heads of a layer become one matrix
        discard: share of the entries of that matrix, the smallest of each image, that are set to 0

    Returns:
        R, (B, N, N) in [0, 1], rows summing to 1; float32, or float64 where the attention is. R_ij: how much
        token i, after the last layer, comes from token j of the input

    Raises:
        ConfigError: no attention, windowed or pooled attention, `discard` outside [0, 1).

    Example:
        >>> rollout([torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])])
        tensor([[[0.5000, 0.5000],
                 [0.0000, 1.0000]]])
    """
    check_attentions(attentions)
    if not 0 <= discard < 1:
        raise ConfigError(f"discard: got {discard}, need a share in [0, 1)")
    with torch.autocast(attentions[0].device.type, enabled=False):
        identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
        result = identity
        for attention in attentions:
            fused = _fuse(full_precision(attention), head_fusion)
            if dropped := int(discard * fused[0].numel()):
                smallest = fused.detach().flatten(1).topk(dropped, dim=1, largest=False).indices
                kept = torch.ones_like(fused).flatten(1).scatter(1, smallest, 0).view_as(fused)
                fused = fused * kept
            step = (fused + identity) / 2
            step = step / step.sum(dim=-1, keepdim=True)  # at least 1/2: the diagonal
            result = step @ result.to(step)
    return result


def gradient_weighted_relevance(attentions: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    r"""Relevance of every token to every token, for one score y (Chefer, Gur & Wolf, ICCV 2021).

        R_0 = I        R_l = R_{l-1} + E_heads[ (dy/dA_l * A_l)^+ ] R_{l-1}

    This is the rule for self-attention (eq. 5 and 6) of "Generic Attention-model Explainability for
    Interpreting Bi-Modal and Encoder-Decoder Transformers". It is what RobustViT (Chefer et al., NeurIPS
    2022) supervises, with constant gradients, min-max normalised at full size. The same authors'
    "Transformer Interpretability Beyond Attention Visualization" (CVPR 2021) has the relevance of layer-wise
    propagation in the place of A_l; that needs rules for every kind of layer and is not offered.

    Args:
        attentions: A_l, (B, heads, N, N) of each layer, the first layer first
        gradients: dy/dA_l, likewise

    Returns:
        R_L - I, (B, N, N) >= 0; float32, or float64 where the attention is. The identity says that every
        token is relevant to itself: it is no part of a class token's relevance map, and where the patches
        are pooled it would only add a constant that rounding then eats into.

    Raises:
        ConfigError: no attention, windowed or pooled attention, gradients that do not match.

    Example:
        >>> attention = torch.full((1, 1, 2, 2), 0.5)
        >>> gradient_weighted_relevance([attention], [torch.tensor([[[[1.0, 4.0], [0.0, -2.0]]]])])
        tensor([[[0.5000, 2.0000],
                 [0.0000, 0.0000]]])
    """
    check_attentions(attentions)
    if [a.shape for a in attentions] != [g.shape for g in gradients]:
        raise ConfigError(
            f"gradients: got {[tuple(g.shape) for g in gradients]}, need one per attention matrix, of its "
            f"shape: {[tuple(a.shape) for a in attentions]}"
        )
    with torch.autocast(attentions[0].device.type, enabled=False):
        result = torch.zeros_like(full_precision(attentions[0][:, 0]))
        for attention, gradient in zip(attentions, gradients, strict=True):
            step = (full_precision(gradient) * full_precision(attention)).relu().mean(dim=1)
            result = result + step + step @ result
    return result


def relevance_map(matrix: Tensor, grid: tuple[int, int], prefix: int, readout: Sequence[int]) -> Tensor:
    """Lay the relevance of the patches for what the head reads out on the grid of patches.

    Args:
        matrix: (B, N, N), row i: the relevance of all tokens for token i
        grid: (h, w) patches
        prefix: number of tokens before the patches (class, distillation, registers): N = prefix + h w
        readout: tokens that the head reads: (0,) for a class token, (0, 1) where a distillation token is read
            too, all patches where the head takes their mean. Of several rows the map is the mean.

    Returns:
        (B, 1, h, w)

    Raises:
        ConfigError: `grid` and `prefix` do not add up to N.

    Example:
        >>> matrix = torch.arange(25.0).view(1, 5, 5)
        >>> relevance_map(matrix, grid=(2, 2), prefix=1, readout=(0,))
        tensor([[[[1., 2.],
                  [3., 4.]]]])
    """
    height, width = grid
    tokens = matrix.shape[-1]
    if prefix + height * width != tokens:
        raise ConfigError(
            f"grid: {height} x {width} patches and {prefix} tokens before them are not the {tokens} tokens "
            "that the network attends to; check the image size"
        )
    first, last = min(readout), max(readout)
    # As a slice wherever the tokens are neighbours: a list of indices has to be copied to the device.
    neighbours = sorted(readout) == list(range(first, last + 1))
    rows = matrix[:, first : last + 1] if neighbours else matrix[:, list(readout)]
    return rows[..., prefix:].mean(dim=1).view(-1, 1, height, width)


def check_attentions(attentions: Sequence[Tensor]) -> None:
    """Check that every layer attends from all tokens to all tokens.

    Raises:
        ConfigError: it does not, or there is no attention.
    """
    if not attentions:
        raise ConfigError(
            "explainer: no attention was seen in this network: it has none, or writes it in its own way; "
            + _OTHERS
        )
    shapes = list(dict.fromkeys(tuple(a.shape) for a in attentions))
    first = shapes[0]
    if len(shapes) > 1 or len(first) != 4 or first[2] != first[3]:
        raise ConfigError(
            f"explainer: the attention of this network is of shape {', '.join(map(str, shapes))}; rollout "
            "and relevance need one (B, heads, N, N) for all layers, not attention in windows (Swin), at "
            f"several resolutions or by a pooling token; {_OTHERS}"
        )


@dataclass(frozen=True)
class Tokens:
    """What the tokens of a transformer are."""

    prefix: int
    """tokens before the patches: class, distillation, registers"""
    patch: int
    """pixels per patch, in height and width"""
    readout: tuple[int, ...]
    """tokens that the head reads"""

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) patches of an image of height x width pixels."""
        return height // self.patch, width // self.patch


def find_tokens(network: nn.Module, *, image_size: int) -> Tokens:
    """Find out what the tokens of a transformer are, from how it behaves on one image of noise.

    The patches are the last tokens, as many as squares fill the image. In a network of
    convolutions that ends in attention they are the cells of its last map. The head reads those tokens whose
    row in the last attention matrix has an influence on the logits; if none has (a head of zeros), the first
    token where there are tokens before the patches, else all patches.

    Args:
        network: image (B, 3, H, W) -> logits (B, K); comes back as it was
        image_size: H and W

    Raises:
        ConfigError: the network has no attention over all tokens, or its tokens are not patches of the image.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> network = VisionTransformer(32, 8, num_classes=3, embed_dim=16, depth=2, num_heads=2)
        >>> find_tokens(network, image_size=32)
        Tokens(prefix=1, patch=8, readout=(0,))
    """
    logits, attentions = _run(network, image_size)
    check_attentions(attentions)
    batch, _, tokens, _ = attentions[-1].shape
    # Squares that fill the image, and a few tokens more: the finest such grid is meant.
    patches = [p for p in range(1, image_size) if image_size % p == 0 and (image_size // p) ** 2 <= tokens]
    if batch != 1 or not patches:
        raise ConfigError(
            f"explainer: the network attends to {batch} times {tokens} tokens in one image of {image_size} "
            f"pixels, which are not its patches; {_OTHERS}"
        )
    count = (image_size // patches[0]) ** 2
    prefix = tokens - count
    if prefix > _MOST_PREFIX:
        raise ConfigError(
            f"explainer: {tokens} tokens are not the patches of an image of {image_size} pixels; {_OTHERS}"
        )
    readout = _read_by_the_head(logits, attentions[-1])
    return Tokens(prefix, patches[0], readout or ((0,) if prefix else tuple(range(tokens))))


def _run(network: nn.Module, image_size: int) -> tuple[Tensor, list[Tensor]]:
    noise = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with evaluating(network), torch.no_grad(), capture_attention() as attentions:
        logits: Tensor = network(noise.to(**placement(network)))
    return logits, attentions


def _read_by_the_head(logits: Tensor, attention: Tensor) -> tuple[int, ...]:
    gradient: Tensor | None = None
    if logits.requires_grad:
        # Squared: a sum of logits may be constant (a head whose columns sum to zero).
        with torch.enable_grad():
            influence = logits.square().sum()
        gradient = torch.autograd.grad(influence, attention, allow_unused=True)[0]
    if gradient is None:
        raise ConfigError(
            "explainer: the logits do not depend on the last attention of the network; attention explainers "
            "need it uncompiled, and with attention that leads to the logits"
        )
    rows = gradient.abs().amax(dim=(0, 1, 3)) > 0
    return tuple(rows.nonzero().flatten().tolist())


def _fuse(attention: Tensor, head_fusion: HeadFusion) -> Tensor:
    match head_fusion:
        case HeadFusion.MEAN:
            return attention.mean(dim=1)
        case HeadFusion.MAX:
            return attention.amax(dim=1)
        case HeadFusion.MIN:
            return attention.amin(dim=1)
