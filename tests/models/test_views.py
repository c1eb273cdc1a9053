"""Which tensors are taken for maps, and how: against what the networks are known to give."""

import pytest
import timm
import torch
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lookright.models import Layout, find_target_layer, trace
from lookright.models.views import View


def views(network: nn.Module, size: int) -> dict[str, View | None]:
    return {name: run.view for name, run in trace(network, size).last_runs.items()}


def test_channels_first_where_their_number_equals_the_side() -> None:
    """ConvNeXt takes any size, so a larger image tells; inside its blocks it works on (B, h, w, C)."""
    network = ConvNeXt(num_classes=3, depths=(1, 1, 1, 1), dims=(8, 8, 8, 4))
    seen = views(network, 128)
    for name in ("stages", "stages.3", "stages.3.blocks.0", "stages.3.blocks.0.conv_dw"):
        assert seen[name] == View(Layout.CHANNELS_FIRST, (4, 4), 4)
    assert seen["stages.3.blocks.0.mlp"] == View(Layout.CHANNELS_LAST, (4, 4), 4)
    assert find_target_layer(network, image_size=128).layout is Layout.CHANNELS_FIRST


def test_channels_last_where_their_number_equals_the_side() -> None:
    """This Swin takes one size alone, so Linear and LayerNorm tell."""
    network = SwinTransformer(
        img_size=32, patch_size=4, embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=4, num_classes=3
    )
    seen = views(network, 32)
    for name in ("layers.0", "layers.0.blocks.1", "patch_embed"):
        assert seen[name] == View(Layout.CHANNELS_LAST, (8, 8), 8)
    assert seen["patch_embed.proj"] == View(Layout.CHANNELS_FIRST, (8, 8), 8)
    assert seen["norm"] == View(Layout.CHANNELS_LAST, (4, 4), 16)


@pytest.mark.parametrize(("heads", "width"), [(2, 16), (4, 16), (17, 34)])
def test_queries_and_attention_are_no_maps(heads: int, width: int) -> None:
    """(B, heads, N, N) with heads = N = 17 looks like a map in any layout."""
    network = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=width, depth=2, num_heads=heads, num_classes=3, qk_norm=True
    )
    for block in network.blocks:
        block.attn.fused_attn = False
    seen = trace(network, 32).last_runs
    assert seen["blocks.1.attn.attn_drop"].output == (1, heads, 17, 17)
    for part in ("q_norm", "k_norm", "attn_drop"):
        assert seen[f"blocks.1.attn.{part}"].view is None
    assert find_target_layer(network, image_size=32).name == "blocks.1.norm1"


def test_grid_that_is_not_square() -> None:
    network = VisionTransformer(
        img_size=32, patch_size=(8, 4), embed_dim=16, depth=1, num_heads=2, num_classes=3, reg_tokens=2
    )
    assert views(network, 32)["blocks.0"] == View(Layout.TOKENS, (4, 8), 16, prefix=3)
    tall = nn.Sequential(nn.Conv2d(3, 4, 3, stride=(2, 4), padding=1), nn.ReLU())
    assert views(tall, 16)["1"] == View(Layout.CHANNELS_FIRST, (8, 4), 4)


class Patches(nn.Module):
    """Cuts patches of 8 x 8 without a convolution and puts one token before them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(192, 12)
        self.block = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, image: Tensor) -> Tensor:
        patches = nn.functional.unfold(image, 8, stride=8).transpose(1, 2)
        tokens = self.embed(patches)
        tokens = self.block(torch.cat([tokens.new_ones(len(tokens), 1, 12), tokens], dim=1))
        return self.head(tokens[:, 0])


def test_patches_without_a_convolution() -> None:
    seen = views(Patches(), 32)
    assert seen["embed"] == View(Layout.TOKENS, (4, 4), 12)
    assert seen["block"] == View(Layout.TOKENS, (4, 4), 12, prefix=1)
    assert find_target_layer(Patches(), image_size=32).name == "embed"


def test_attention_is_noted_where_it_is_computed() -> None:
    attending = {e.name for e in trace(Patches(), 32).executions if e.attends}
    assert attending == {"block.self_attn"}
    network = timm.create_model("test_vit", num_classes=3, img_size=32)
    for fused in (True, False):
        for block in network.blocks:
            block.attn.fused_attn = fused
        attending = {e.name for e in trace(network, 32).executions if e.attends}
        assert attending == {f"blocks.{i}.attn" for i in range(len(network.blocks))}
