import pathlib
import sys
import textwrap

import pytest
import timm
import torch
import torchvision

from lookright.errors import CheckpointError, ConfigError
from lookright.models import create


@pytest.mark.parametrize(
    ("backbone", "mean"),
    [
        ("small_cnn", 0.5),
        ("resnet18", 0.485),
        ("mobilenetv3_small_050.lamb_in1k", 0.485),
        ("tf_efficientnet_lite0", 0.5),
        ("torchvision:mobilenet_v3_small", 0.485),
        ("torchvision:googlenet", 0.485),
    ],
)
def test_networks_by_name(backbone: str, mean: float) -> None:
    classifier = create(backbone, num_classes=3, image_size=64)
    logits = classifier.network.train()(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, 3)
    assert classifier.mean[0] == mean
    assert (classifier.backbone, classifier.weights) == (backbone, "none: random")


def test_same_seed_same_network() -> None:
    torch.manual_seed(3)
    one = create("small_cnn", num_classes=3, image_size=32).network.state_dict()
    torch.manual_seed(3)
    two = create("small_cnn", num_classes=3, image_size=32).network.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet_18", r"'resnet_18': no such network; close: .*resnet18.*'lookright backbones"),
        ("torchvision:resnt18", "no such network; close: torchvision:resnet18"),
        ("resnet18.nobody", "timm has no weights 'nobody' of 'resnet18'; it has resnet18.a1_in1k"),
        ("no_such_module:build", "there is no module 'no_such_module' to import it from"),
        ("no_such_module.sub.build", "there is no module 'no_such_module'"),
        ("textwrap:dedant", "module 'textwrap' has no 'dedant'; close: dedent"),
        ("json:loads", r"json:loads\(num_classes=3\) failed: TypeError"),
        ("builtins:dict", "builtins:dict must return an nn.Module, got dict"),
    ],
)
def test_names_that_make_no_network(backbone: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(backbone, num_classes=3, image_size=32)


def test_function_of_the_user_in_the_current_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nets_of_a_test.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            def build(num_classes):
                return nn.Sequential(
                    nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
                )

            def seven(num_classes):
                return build(7)
            """
        )
    )
    (tmp_path / "my_broken_net_of_a_test.py").write_text("import a_library_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    for name in ("my_nets_of_a_test:build", "my_nets_of_a_test.build"):
        assert create(name, num_classes=3, image_size=16).mean == (0.485, 0.456, 0.406)
    with pytest.raises(ConfigError, match="gives 7 logits instead of 3"):
        create("my_nets_of_a_test:seven", num_classes=3, image_size=16)
    with pytest.raises(
        ConfigError, match=r"importing 'my_broken_net_of_a_test' failed: .*a_library_that_is_not_there"
    ):
        create("my_broken_net_of_a_test:build", num_classes=3, image_size=16)
    assert sys.path == before


def test_imagenet_takes_all_but_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download is replaced: what is tested is what happens to the weights."""
    make_timm, make_torchvision = timm.create_model, torchvision.models.get_model
    sources = {}

    def timm_offline(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
        network = make_timm(name, pretrained=False, **options)
        return sources.setdefault(name, network) if pretrained else network

    def torchvision_offline(name: str, *, weights: str | None, **options: object) -> torch.nn.Module:
        network = make_torchvision(name, weights=None, **options)
        return sources.setdefault(name, network) if weights else network

    monkeypatch.setattr(timm, "create_model", timm_offline)
    monkeypatch.setattr(torchvision.models, "get_model", torchvision_offline)
    for backbone, head in (
        ("mobilenetv3_small_050", "classifier."),
        ("torchvision:mobilenet_v3_small", "classifier.3."),
    ):
        classifier = create(backbone, num_classes=3, weights="imagenet", image_size=64)
        source = sources[backbone.removeprefix("torchvision:")].state_dict()
        for name, value in classifier.network.state_dict().items():
            assert name.startswith(head) or torch.equal(value, source[name]), name
        assert "downloaded" in classifier.weights


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "torchvision:mobilenet_v3_small"])
def test_imagenet_without_a_network(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_timm, make_torchvision = timm.create_model, torchvision.models.get_model

    def timm_offline(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
        if pretrained:
            raise ConnectionError("no route")
        return make_timm(name, pretrained=False, **options)

    def torchvision_offline(name: str, *, weights: str | None, **options: object) -> torch.nn.Module:
        if weights:
            raise OSError("no route")
        return make_torchvision(name, weights=None, **options)

    monkeypatch.setattr(timm, "create_model", timm_offline)
    monkeypatch.setattr(torchvision.models, "get_model", torchvision_offline)
    with pytest.raises(
        ConfigError, match=r"could not be downloaded .*without a network use weights none, a file, or"
    ):
        create(backbone, num_classes=3, weights="imagenet", image_size=64)


def test_weights_that_there_are_not(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="there are no 'imagenet' weights of 'small_cnn'"):
        create("small_cnn", num_classes=3, weights="imagenet", image_size=32)
    with pytest.raises(ConfigError, match="got 'imagnet', expected none, bundled, imagenet or the path"):
        create("small_cnn", num_classes=3, weights="imagnet", image_size=32)
    with pytest.raises(CheckpointError, match=r"absent.pth: no such file"):
        create("small_cnn", num_classes=3, weights=str(tmp_path / "absent.pth"), image_size=32)


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("vit_tiny_patch16_224", 64),
        ("deit_tiny_distilled_patch16_224", 48),
        ("swin_tiny_patch4_window7_224", 64),
        ("swinv2_tiny_window8_256", 64),
        ("torchvision:swin_t", 64),
        ("test_convnext", 64),
    ],
)
def test_networks_of_one_size_are_made_for_the_size_that_is_asked_for(backbone: str, size: int) -> None:
    network = create(backbone, num_classes=3, image_size=size).network
    assert network(torch.zeros(1, 3, size, size)).shape == (1, 3)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("torchvision:maxvit_t", "cannot be made for image_size 64 .*; use 224, or another network"),
        ("torchvision:vit_b_16", r"'torchvision:vit_b_16' cannot be made for image_size 70"),
        ("crossvit_9_240", "fails on an image of 3 x 64 x 64|cannot be made for image_size 64"),
    ],
)
def test_networks_that_cannot_be_made_for_a_size(backbone: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(backbone, num_classes=3, image_size=70 if "vit_b" in backbone else 64)


@pytest.mark.parametrize(
    ("backbone", "positions"), [("test_vit", "pos_embed"), ("torchvision:vit_b_32", "encoder.pos_embedding")]
)
def test_pretrained_positions_are_interpolated(
    backbone: str, positions: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """The download is replaced by weights for the network's own size, with positions constant per channel."""

    def make_torchvision(name: str, *, image_size: int = 224, num_classes: int = 1000) -> torch.nn.Module:
        return torchvision.models.VisionTransformer(image_size, 32, 1, 2, 16, 16, num_classes=num_classes)

    is_torchvision = backbone.startswith("torchvision:")
    source = make_torchvision("vit_b_32") if is_torchvision else timm.create_model(backbone, num_classes=1000)
    state = source.state_dict()
    state[positions] = torch.arange(state[positions].shape[2]).float().expand_as(state[positions]).clone()
    make_timm = timm.create_model

    def timm_offline(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
        if not pretrained:
            return make_timm(name, pretrained=False, **options)
        torch.save(state, tmp_path / "w.pth")
        overlay = {"file": str(tmp_path / "w.pth")}
        return make_timm(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)

    def torchvision_offline(name: str, *, weights: str | None, **options: object) -> torch.nn.Module:
        network = make_torchvision(name, **options)
        if weights:
            network.load_state_dict(state)
        return network

    monkeypatch.setattr(timm, "create_model", timm_offline)
    monkeypatch.setattr(torchvision.models, "get_model", torchvision_offline)
    network = create(backbone, num_classes=3, weights="imagenet", image_size=64).network
    loaded = network.state_dict()[positions]
    assert loaded.shape[1] < state[positions].shape[1]
    torch.testing.assert_close(loaded, torch.arange(loaded.shape[2]).float().expand_as(loaded))


def test_both_heads_of_a_distilled_network_are_new(tmp_path: pathlib.Path) -> None:
    name = "deit_tiny_distilled_patch16_224"
    torch.save(timm.create_model(name, num_classes=5, img_size=32).state_dict(), tmp_path / "w.pth")
    classifier = create(name, num_classes=3, weights=str(tmp_path / "w.pth"), image_size=32)
    assert classifier.weights.endswith(
        "w.pth: all but head.weight, head.bias, head_dist.weight, head_dist.bias"
    )
    for head in (classifier.network.head, classifier.network.head_dist):
        assert 0.005 < head.weight.std() < 0.015


def test_one_class_is_no_classifier() -> None:
    with pytest.raises(ConfigError, match="num_classes: got 0, expected at least 1"):
        create("small_cnn", num_classes=0)


def test_image_too_small_for_the_network() -> None:
    with pytest.raises(ConfigError, match="fails on an image of 3 x 32 x 32 pixels"):
        create("torchvision:inception_v3", num_classes=3, image_size=32)


def test_a_head_of_zeros_is_drawn() -> None:
    """A network whose head is zero explains nothing, and a loss on its maps would never learn."""
    network = create("torchvision:vit_b_32", num_classes=2, image_size=32).network
    assert 0.005 < network.heads.head.weight.std() < 0.02
