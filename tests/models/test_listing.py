import pathlib

import pytest

from lookright.errors import ConfigError
from lookright.models import (
    create,
    describe_backbone,
    find_target_layer,
    format_backbone,
    format_backbones,
    list_backbones,
)


def test_list_holds_ours_timms_and_torchvisions() -> None:
    weights = {backbone.name: backbone.weights for backbone in list_backbones()}
    assert weights["small_cnn"] == ()
    assert weights["tf_efficientnet_lite0"] == ("bundled", "imagenet")
    assert weights["resnet18"] == ("imagenet",)
    assert weights["ghostnet_050"] == ()
    assert weights["torchvision:resnet18"] == ("imagenet",)
    for transformer in (
        *("vit_small_patch16_224", "vit_small_patch14_reg4_dinov2", "deit_tiny_distilled_patch16_224"),
        *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "convnext_atto"),
        *("torchvision:vit_b_16", "torchvision:swin_t", "torchvision:swin_v2_t"),
    ):
        assert weights[transformer] == ("imagenet",)
    assert not any(name.startswith(("levit", "samvit")) for name in weights)
    assert len(weights) > 500


def test_list_is_filtered_by_part_of_the_name() -> None:
    names = [backbone.name for backbone in list_backbones("ConvNeXt_Tiny")]
    assert "convnext_tiny" in names
    assert "torchvision:convnext_tiny" in names
    assert all("convnext_tiny" in name for name in names)


@pytest.mark.parametrize("listed", [b.name for b in list_backbones("_0") if "0_" not in b.name][::12])
def test_listed_networks_can_be_explained(listed: str) -> None:
    network = create(listed, num_classes=3, image_size=64).network
    assert find_target_layer(network, image_size=64).grid >= (2, 2)


def test_inspection_counts_parameters_by_hand() -> None:
    found = describe_backbone("small_cnn", image_size=32)
    head = 64 * 2 + 2
    last = 32 * 64 * 9 + 2 * 64
    everything = (3 * 16 + 16 * 32) * 9 + 2 * (16 + 32) + last + head
    assert {scope: part.parameters for scope, part in found.scopes.items()} == {
        "all": everything,
        "last-stage": last + head,
        "head": head,
    }
    assert found.target_layer.grid == (8, 8)


def test_terminal_output() -> None:
    text = format_backbone(describe_backbone("small_cnn", image_size=32))
    for part in (
        "features (Sequential)",
        "train last-stage   18,690 parameters: features.2, head",
        "none, FILE",
    ):
        assert part in text
    assert "8 x 8 cells for images of 32 x 32 pixels" in text
    assert "torchvision:resnet18 " in format_backbones(list_backbones("resnet1"))
    with pytest.raises(ConfigError, match=r"'resnet_18': no name contains that; close: .*resnet18"):
        format_backbones(list_backbones("resnet_18"), "resnet_18")


@pytest.mark.parametrize(
    ("backbone", "layout"),
    [
        ("small_cnn", "(B, C, h, w)"),
        ("test_vit3", "(B, N, C): 4 patch tokens after 1 class or register token"),
        ("deit_tiny_distilled_patch16_224", "(B, N, C): 4 patch tokens after 2 class or register tokens"),
        ("test_vit_relpos", "(B, N, C): 4 patch tokens"),
        ("swin_tiny_patch4_window7_224", "(B, h, w, C)"),
    ],
)
def test_layout_is_said(backbone: str, layout: str) -> None:
    size = 64 if backbone.startswith("swin") else 32
    lines = format_backbone(describe_backbone(backbone, image_size=size)).splitlines()
    assert f"  layout             {layout}" in lines


def test_exact_names_that_are_not_listed_are_found_too() -> None:
    assert [b.weights for b in list_backbones("vit_tiny_patch16_224.augreg_in21k")] == [("imagenet",)]
    assert [b.weights for b in list_backbones("levit_128s")] == [("imagenet",)]
    assert [b.weights for b in list_backbones("my_module:build")] == [()]
    assert list_backbones("my_module.build") == list_backbones("torchvision:swin_x") == []


def test_scope_that_a_network_has_not_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "pointwise_of_a_test.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 1), pool, nn.Linear(4, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    found = describe_backbone("pointwise_of_a_test:build", image_size=32)
    assert "needs attention, or a convolution larger than 1 x 1" in str(found.scopes["last-stage"])
    assert "needs attention, or a convolution larger than 1 x 1" in format_backbone(found)
