import contextlib
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from timm.layers import RotAttentionPool2d
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lookright.errors import ConfigError
from lookright.models import Layout, create, find_target_layer, trace
from lookright.models.trace import find_heads
from networks import FAMILIES, IMAGE_SIZE

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


def test_network_without_a_map() -> None:
    with pytest.raises(ConfigError, match="no module of this network gives a map"):
        find_target_layer(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), image_size=8)


def test_heads() -> None:
    def names(network: nn.Module, size: int) -> list[str]:
        return [head.name for head in find_heads(trace(network, size))]

    assert names(create("resnet18", num_classes=3, image_size=64).network, 64) == ["fc"]
    assert names(FAMILIES["timm vit"](), IMAGE_SIZE) == ["head"]  # not the network, which has its class token
    assert names(FAMILIES["timm deit distilled"](), IMAGE_SIZE) == ["head", "head_dist"]
    assert names(torchvision.models.squeezenet1_1(num_classes=3), 64) == ["classifier.1"]
    parametrized = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, 2, bias=False))
    )
    assert names(parametrized, 8) == ["1"]
    equal_layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.ReLU(), nn.Linear(2, 2))
    assert names(equal_layers, 8) == ["3"]
    headless = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU())
    assert names(headless, 8) == ["0"]
    with pytest.raises(ConfigError, match=r"expected logits of shape .B, K. .* got .1, 4, 6, 6."):
        find_heads(trace(nn.Sequential(nn.Conv2d(3, 4, 3)), 8))
    with pytest.raises(ConfigError, match="has no head"):
        find_heads(trace(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8))


# family -> target layer, channels, grid, layout, other tokens: the layers that Grad-CAM libraries recommend
FIRST, LAST, TOKENS = Layout.CHANNELS_FIRST, Layout.CHANNELS_LAST, Layout.TOKENS
OF_FAMILIES = {
    "timm resnet": ("layer4", 24, (2, 2), FIRST, 0),
    "timm vgg": ("features", 16, (4, 4), FIRST, 0),
    "timm densenet": ("features", 16, (4, 4), FIRST, 0),
    "timm mobilenetv3": ("blocks", 24, (8, 8), FIRST, 0),
    "timm tf_efficientnet_lite": ("bn2", 32, (4, 4), FIRST, 0),
    "timm efficientnet": ("bn2", 32, (4, 4), FIRST, 0),
    "timm regnet": ("s4", 64, (2, 2), FIRST, 0),
    "timm convnext": ("stages", 24, (2, 2), FIRST, 0),
    "timm vit": ("blocks.2.norm1", 16, (4, 4), TOKENS, 1),
    "timm vit average pooling": ("blocks", 16, (4, 4), TOKENS, 1),
    "timm vit registers": ("blocks.2.norm1", 16, (4, 4), TOKENS, 5),
    "timm vit attention pooling": ("norm", 16, (4, 4), TOKENS, 0),
    "timm deit distilled": ("blocks.2.norm1", 16, (4, 4), TOKENS, 2),
    "timm swin": ("norm", 32, (4, 4), LAST, 0),
    "timm swinv2": ("norm", 32, (4, 4), LAST, 0),
    "torchvision resnet": ("layer4", 512, (2, 2), FIRST, 0),
    "torchvision vgg": ("features", 16, (4, 4), FIRST, 0),
    "torchvision densenet": ("features", 16, (4, 4), FIRST, 0),
    "torchvision mobilenet_v3": ("features", 96, (4, 4), FIRST, 0),
    "torchvision efficientnet": ("features", 32, (4, 4), FIRST, 0),
    "torchvision regnet": ("trunk_output", 64, (2, 2), FIRST, 0),
    "torchvision convnext": ("features", 24, (2, 2), FIRST, 0),
    "torchvision vit": ("encoder.layers.encoder_layer_2.ln_1", 16, (4, 4), TOKENS, 1),
    "torchvision swin": ("norm", 32, (4, 4), LAST, 0),
    "own": ("mixer", 10, (8, 8), FIRST, 0),  # its ReLU runs again later
}


@pytest.mark.parametrize("family", FAMILIES)
def test_target_layer_of_every_family(family: str) -> None:
    network = FAMILIES[family]()
    layer = find_target_layer(network, image_size=IMAGE_SIZE)
    found = (layer.name, layer.channels, layer.grid, layer.layout, layer.prefix)
    assert found == OF_FAMILIES[family]
    assert find_target_layer(network, image_size=IMAGE_SIZE, name=layer.name) == layer
    assert layer.stride == IMAGE_SIZE // layer.grid[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_of_the_logits_is_there_and_the_forward_hook_sees_a_map(family: str) -> None:
    """With plain autograd, nothing of ours but the layer."""
    network = FAMILIES[family]()
    layer = find_target_layer(network, image_size=IMAGE_SIZE)
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        return output.clone()

    handle = layer.module.register_forward_hook(keep)
    logits = network(torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE))
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), seen[-1])
    for tensor in (seen[-1], gradient):
        assert layer.to_map(tensor).shape == (2, layer.channels, *layer.grid)
    assert layer.to_map(gradient).abs().sum(1).gt(0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: VisionTransformer(
            img_size=64, patch_size=(8, 16), embed_dim=32, depth=2, num_heads=2, num_classes=3, reg_tokens=3
        ),
        lambda: SwinTransformer(
            img_size=64,
            patch_size=4,
            embed_dim=16,
            depths=(1, 1),
            num_heads=(2, 2),
            window_size=4,
            num_classes=3,
        ),
        lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 32, num_classes=3),
        lambda: torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=3),
    ],
)
@pytest.mark.parametrize("place", [(0.05, 0.05), (0.05, 0.95), (0.95, 0.05), (0.55, 0.3)])
def test_cells_lie_where_their_pixels_are(make: Callable[[], nn.Module], place: tuple[float, float]) -> None:
    """What changes in one place of the image changes the map most in the cell there."""
    torch.manual_seed(0)
    network = make().eval()
    layer = find_target_layer(network, image_size=64)
    cell = tuple(int(part * cells) for part, cells in zip(place, layer.grid, strict=True))
    image = torch.rand(1, 3, 64, 64)
    changed = image.clone()
    height, width = (64 // cells for cells in layer.grid)
    changed[..., cell[0] * height : (cell[0] + 1) * height, cell[1] * width : (cell[1] + 1) * width] *= -1
    maps: list[torch.Tensor] = []
    layer.module.register_forward_hook(lambda module, args, output: maps.append(layer.to_map(output)))
    with torch.no_grad():
        network(image)
        network(changed)
    difference = (maps[1] - maps[0]).abs().sum(1)[0]
    assert divmod(int(difference.argmax()), layer.grid[1]) == cell


def vit(**options: object) -> nn.Module:
    return VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3, **options
    )


def zero_head() -> nn.Module:
    network = vit()
    nn.init.zeros_(network.head.weight)
    return network


class Detached(nn.Module):
    """A map that the logits depend on, and a later one whose gradient is cut."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(9, 2)
        self.how = how

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.how != "all"):
            first = self.first(image)
            second = self.second(first)
            second = {"detach": second.detach(), "zero": second * 0}.get(self.how, second)
            return self.head(torch.cat([first.mean((2, 3)), second.mean((2, 3))], dim=1))


def test_layers_that_lead_nowhere_are_passed_over_and_said() -> None:
    for how in ("detach", "zero"):
        assert find_target_layer(Detached(how), image_size=16).name == "first"
    with pytest.raises(ConfigError, match=r"do not depend on 'second': .* detached; name one of first$"):
        find_target_layer(Detached("detach"), image_size=16, name="second")
    with pytest.raises(ConfigError, match=r"at 'second' is zero in all 25 cells; name one of first$"):
        find_target_layer(Detached("zero"), image_size=16, name="second")
    with pytest.raises(ConfigError, match=r"depend on none of the maps in this network \('second', say\)"):
        find_target_layer(Detached("all"), image_size=16)
    with pytest.raises(ConfigError, match=r"name one of \(it has no map that leads to the logits\)"):
        find_target_layer(Detached("all"), image_size=16, name="first")


@pytest.mark.parametrize("name", ["norm", "blocks", "blocks.1", "blocks.1.mlp"])
def test_patches_after_the_last_attention_do_not_reach_the_class_token(name: str) -> None:
    with pytest.raises(
        ConfigError,
        match=r"in all 16 cells: they depend on its other tokens alone; name one of blocks.1.norm1,",
    ):
        find_target_layer(vit(), image_size=32, name=name)


@pytest.mark.parametrize("name", ["blocks.0.attn.q_norm", "patch_drop", "head"])
def test_what_is_no_map_is_refused_by_name(name: str) -> None:
    network = vit(qk_norm=True)
    if name == "patch_drop":  # tokens, and passed over only when nothing is named
        assert find_target_layer(network, image_size=32, name=name).prefix == 1
        return
    with pytest.raises(ConfigError, match=r"not a map .* nor the tokens .* name one of blocks.1.norm1, "):
        find_target_layer(network, image_size=32, name=name)


def test_a_new_head_of_zeros_is_no_zero_gradient() -> None:
    assert find_target_layer(zero_head(), image_size=32).name == "blocks.1.norm1"
    assert find_target_layer(
        torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3), image_size=32
    ).name.endswith("layer_1.ln_1")
    residual = timm.create_model("resnet10t", num_classes=3, zero_init_last=True)
    assert find_target_layer(residual, image_size=64, name="layer4.0.conv2").channels == 512
    frozen = zero_head().requires_grad_(False)  # stays zero
    with pytest.raises(ConfigError, match="depend on none of the maps"):
        find_target_layer(frozen, image_size=32)
    with pytest.raises(ConfigError, match=r"zero in all 16 cells; name one of \(it has no map"):
        find_target_layer(frozen, image_size=32, name="blocks.1.norm1")


def test_frozen_networks_have_a_target_layer_too() -> None:
    network = FAMILIES["timm resnet"]().requires_grad_(False)
    assert find_target_layer(network, image_size=IMAGE_SIZE).name == "layer4"


@pytest.mark.parametrize("name", [None, "blocks.1.norm1", "norm", "bad"])
def test_check_leaves_no_trace(name: str | None) -> None:
    network = nn.Sequential(vit(proj_drop_rate=0.5), nn.BatchNorm1d(3))
    nn.init.zeros_(network[0].head.weight)
    network[0].blocks[0].eval()
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    state = {n: v.clone() for n, v in network.state_dict().items()}
    gradients = {n: p.grad.clone() for n, p in network.named_parameters()}
    modes = [module.training for module in network.modules()]
    identities = [id(p) for p in network.parameters()]
    versions = [p._version for p in network.parameters()]
    random_state = torch.get_rng_state()
    with contextlib.suppress(ConfigError):
        find_target_layer(network, image_size=32, name=None if name is None else f"0.{name}")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(v, state[n]) for n, v in network.state_dict().items())
    assert all(torch.equal(p.grad, gradients[n]) for n, p in network.named_parameters())
    assert [module.training for module in network.modules()] == modes
    assert [id(p) for p in network.parameters()] == identities
    assert [p._version for p in network.parameters()] == versions
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_attention_pooling_of_a_convolutional_network_keeps_its_last_map() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 32, 3, 4), nn.ReLU(), nn.Conv2d(32, 16, 3))
            self.pool = RotAttentionPool2d(16, 8, num_heads=2)
            self.head = nn.Linear(8, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.head(self.pool(self.features(image)))

    assert find_target_layer(Pooled(), image_size=32).name == "features"


def test_network_that_normalises_its_image_in_place() -> None:
    class InPlace(nn.Sequential):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image.sub_(0.5))

    network = InPlace(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert find_target_layer(network, image_size=8).name == "1"
