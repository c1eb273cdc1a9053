"""Explainers of transformers: how attention carries the patches to the decision."""

from __future__ import annotations

from torch import Tensor, nn

from lookright.choices import choice
from lookright.errors import ConfigError
from lookright.explainers.base import Explainer
from lookright.explainers.relevance import (
    HeadFusion,
    find_tokens,
    gradient_weighted_relevance,
    relevance_map,
    rollout,
)
from lookright.explainers.seen import Needs, Seen


class TransformerExplainer(Explainer):
    """An explainer of the attention of all blocks, as a map of the patches.

    Raises:
        ConfigError: the network has no attention from all tokens to all tokens, or a layer is named.
    """

    cost = "explicit attention in all blocks"

    def look_at(self, target_layer: nn.Module | str | None) -> None:
        """Look at all blocks, and find out what their tokens are."""
        if target_layer is not None:
            raise ConfigError(
                "target_layer: this explainer looks at the attention of all blocks; leave it out"
            )
        self.tokens = find_tokens(self.network, image_size=self.image_size)

    def lay_out(self, matrix: Tensor, seen: Seen) -> Tensor:
        """Lay what the head reads out of (B, N, N) on the grid of patches, (B, 1, h, w)."""
        height, width = seen.image.shape[-2:]
        return relevance_map(matrix, self.tokens.grid(height, width), self.tokens.prefix, self.tokens.readout)


class AttentionRollout(TransformerExplainer):
    r"""Attention rollout (Abnar & Zuidema, ACL 2020): the attention of all blocks multiplied up.

        M = row of the class token in  Â_L ... Â_1,   Â_l = 1/2 A_l + 1/2 I

    It is the same for every class and takes no gradient of a score: a loss on it moves what lies below the
    last attention.

    Args:
        head_fusion: how the heads of a layer become one matrix: mean, max or min
        discard: share of the smallest entries that are set to 0, in [0, 1)

    Raises:
        ConfigError: the network has no attention from all tokens to all tokens, or a layer is named; another
            fusion, a share out of its range.

    Example:
        >>> import torch
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> network = VisionTransformer(32, 8, num_classes=3, embed_dim=16, depth=2, num_heads=2)
        >>> explain = AttentionRollout(network, image_size=32)
        >>> explain(torch.rand(2, 3, 32, 32), torch.tensor([0, 1])).explanation.shape
        torch.Size([2, 1, 4, 4])
    """

    paper = "attention rollout: Abnar & Zuidema, ACL 2020"
    order = "first"
    needs = Needs(attention=True, gradient=False)

    def __init__(
        self,
        network: nn.Module,
        target_layer: nn.Module | str | None = None,
        *,
        second_order: bool = True,
        image_size: int = 224,
        head_fusion: HeadFusion | str = "mean",
        discard: float = 0.0,
    ) -> None:
        super().__init__(network, target_layer, second_order=second_order, image_size=image_size)
        self.head_fusion = choice("head_fusion", head_fusion, HeadFusion)
        if not 0 <= discard < 1:
            raise ConfigError(f"discard: got {discard}, need a share in [0, 1)")
        self.discard = discard

    def explain(self, seen: Seen) -> Tensor:
        """Multiply the attention up, (B, 1, h, w)."""
        return self.lay_out(rollout(seen.attention, self.head_fusion, self.discard), seen)


class AttentionRelevance(TransformerExplainer):
    r"""Gradient-weighted relevance of the patches (Chefer, Gur & Wolf, ICCV 2021).

        R_0 = I   R_l = R_{l-1} + E_heads[(dy/dA_l * A_l)^+] R_{l-1}   M = row of the class token in R_L - I

    Example:
        >>> import torch
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> network = VisionTransformer(32, 8, num_classes=3, embed_dim=16, depth=2, num_heads=2)
        >>> explain = AttentionRelevance(network, image_size=32)
        >>> explain(torch.rand(2, 3, 32, 32), torch.tensor([0, 1])).explanation.shape
        torch.Size([2, 1, 4, 4])
    """

    paper = "Chefer, Gur & Wolf, ICCV 2021"
    cost = "explicit attention in all blocks, backward pass to the first"
    needs = Needs(attention=True)

    def explain(self, seen: Seen) -> Tensor:
        """Accumulate relevance over the blocks, (B, 1, h, w)."""
        return self.lay_out(gradient_weighted_relevance(seen.attention, seen.attention_gradient), seen)
