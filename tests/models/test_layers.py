import pytest
import timm
import torch
import torchvision
from torch import nn

from lookright.errors import ConfigError
from lookright.models import create, find_target_layer, trace
from lookright.models.layers import find_head

# name -> target layer, channels, as the papers' and peers' tables of Grad-CAM layers have them
TARGETS = {
    "resnet18": ("layer4", 512),
    "tf_efficientnet_lite0": ("bn2", 1280),
    "mobilenetv3_small_050": ("blocks", 288),
    "densenet121": ("features", 1024),
    "convnext_atto": ("stages", 320),
    "regnetx_002": ("s4", 368),
    "torchvision:resnet18": ("layer4", 512),
    "torchvision:densenet121": ("features", 1024),
    "torchvision:mobilenet_v3_small": ("features", 576),
    "torchvision:convnext_tiny": ("features", 768),
    "torchvision:squeezenet1_1": ("features", 512),
    "torchvision:regnet_x_400mf": ("trunk_output", 400),
}


def sequential() -> nn.Sequential:
    """A batch of one would fail in the BatchNorm after the pooling if it were in train mode."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.5),
        nn.AdaptiveAvgPool2d((7, 7)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(4),
        nn.Linear(4, 2),
    )


@pytest.mark.parametrize("backbone", TARGETS)
def test_target_layer_is_the_last_map(backbone: str) -> None:
    network = create(backbone, num_classes=3, image_size=64).network
    layer = find_target_layer(network, image_size=64)
    assert (layer.name, layer.channels) == TARGETS[backbone]
    assert layer.module is network.get_submodule(layer.name)
    size = 3 if "squeezenet" in backbone else 2
    assert layer.grid == (size, size)
    assert layer.stride == round(64 / size)


@pytest.mark.parametrize("name", ["vgg11", "torchvision:vgg11"])
def test_vgg_takes_the_map_before_the_resizing_pool(name: str) -> None:
    with torch.device("meta"):  # 128 million parameters that nobody needs to draw
        if name == "vgg11":
            network = timm.create_model(name, pretrained=False, num_classes=3)
        else:
            network = torchvision.models.vgg11(num_classes=3)
        layer = find_target_layer(network, image_size=64)
    assert (layer.name, layer.channels, layer.grid) == ("features", 512, (2, 2))


def test_layer_that_encloses_the_same_tensor_is_taken_but_not_the_network() -> None:
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 8, 8, stride=8))
    network.add_module(
        "layer4", nn.Sequential(nn.Conv2d(8, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1))
    )
    network.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    network.add_module("fc", nn.Linear(16, 2))
    assert find_target_layer(network, image_size=224).name == "layer4"
    assert find_target_layer(network, image_size=224).stride == 32
    assert find_target_layer(network, image_size=224, name="conv1").grid == (28, 28)


def test_pooling_and_dropout_are_passed_over_even_inside_a_container() -> None:
    assert find_target_layer(sequential(), image_size=16).name == "1"
    network = sequential()
    wrapped = nn.Sequential(network[:4], *network[4:])
    assert find_target_layer(wrapped, image_size=16).name == "0.1"


def test_trace_restores_modes_statistics_and_hooks() -> None:
    network = sequential().train()
    network[6].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trace(network, 16)
    assert [module.training for module in network] == [True] * 6 + [False, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_trace_restores_everything_when_the_network_raises() -> None:
    class Broken(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise KeyError("missing part")

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Broken())
    with pytest.raises(ConfigError, match=r"fails on an image of 3 x 16 x 16 pixels \(KeyError"):
        trace(network, 16)
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


def test_trace_gives_equal_numbers_to_the_same_tensor() -> None:
    executions = trace(sequential(), 16).executions
    assert executions[0].tensor == executions[1].tensor  # in place
    assert executions[1].tensor != executions[3].tensor
    assert executions[-1].name == ""
    assert executions[-1].output == (1, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer5", "has no 'layer5'; close: layer4"),
        ("fc", "gives .1, 3. .* not a map .B, C, h, w. .* name one of layer4, layer3"),
        ("global_pool.pool", "more than one cell"),
    ],
)
def test_named_layer_that_cannot_be_explained(name: str, message: str) -> None:
    network = timm.create_model("resnet18", pretrained=False, num_classes=3)
    with pytest.raises(ConfigError, match=message):
        find_target_layer(network, image_size=64, name=name)


def test_named_layer_that_does_not_run() -> None:
    class Spare(nn.Sequential):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(image).mean((2, 3)))

    network = Spare()
    for name, module in {
        "conv": nn.Conv2d(3, 4, 3),
        "spare": nn.Conv2d(4, 4, 3),
        "fc": nn.Linear(4, 2),
    }.items():
        network.add_module(name, module)
    assert find_target_layer(network, image_size=16).name == "conv"
    with pytest.raises(ConfigError, match="'spare' does not run"):
        find_target_layer(network, image_size=16, name="spare")


def test_transformers_are_refused_not_explained_wrongly() -> None:
    vit = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, num_classes=3, img_size=64, depth=2, embed_dim=48
    )
    with pytest.raises(ConfigError, match=r"after 'patch_embed.proj' this network works on tokens"):
        find_target_layer(vit, image_size=64)
    with pytest.raises(ConfigError, match="not a map"):
        find_target_layer(vit, image_size=64, name="blocks.1")
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224",
        pretrained=False,
        num_classes=3,
        img_size=64,
        window_size=2,
        embed_dim=24,
        depths=(1, 1),
        num_heads=(2, 2),
    )
    with pytest.raises(ConfigError, match="channels last"):
        find_target_layer(swin, image_size=64)
    with pytest.raises(ConfigError, match="channels last"):
        find_target_layer(swin, image_size=64, name="layers.1")


def test_network_without_a_map() -> None:
    with pytest.raises(ConfigError, match="no module of this network gives a map"):
        find_target_layer(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), image_size=8)


def test_head() -> None:
    assert find_head(trace(create("resnet18", num_classes=3, image_size=64).network, 64)).name == "fc"
    squeezenet = torchvision.models.squeezenet1_1(num_classes=3)
    assert find_head(trace(squeezenet, 64)).name == "classifier.1"
    parametrized = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, 2, bias=False))
    )
    assert find_head(trace(parametrized, 8)).name == "1"
    with pytest.raises(ConfigError, match=r"expected logits of shape .B, K. .* got .1, 4, 6, 6."):
        find_head(trace(nn.Sequential(nn.Conv2d(3, 4, 3)), 8))
    headless = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU())
    assert find_head(trace(headless, 8)).name == "0"
    with pytest.raises(ConfigError, match="has no head"):
        find_head(trace(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8))
