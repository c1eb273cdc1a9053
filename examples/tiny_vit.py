"""A vision transformer that trains from scratch on a laptop: --backbone examples.tiny_vit:tiny_vit."""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer
from torch import nn


def tiny_vit(num_classes: int) -> nn.Module:
    """Make a ViT for images of 32 x 32 pixels: 64 patches, 4 blocks, 0.2 million weights."""
    return VisionTransformer(32, 4, num_classes=num_classes, embed_dim=64, depth=4, num_heads=4)
