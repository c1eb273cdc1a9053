"""A tiny network of every family that lookright explains, for tests: `FAMILIES[name]()` in eval mode.

The weights are random and the same at every call. They are drawn at a common size: the zeros (heads, the last
norm of a block) and layer scales of 1e-6 of timm and torchvision would make gradients vanish.
"""

from collections.abc import Callable
from functools import partial

import torch
from timm.models import (
    convnext,
    deit,
    densenet,
    efficientnet,
    mobilenetv3,
    regnet,
    resnet,
    swin_transformer,
    swin_transformer_v2,
    vgg,
    vision_transformer,
)
from timm.models._efficientnet_builder import decode_arch_def
from torch import Tensor, nn
from torchvision import models

IMAGE_SIZE = 64
"""H and W that all of them take; those with a stride of 32 give 2 x 2 cells."""
CLASSES = 3


class Own(nn.Module):
    """A user's network: in-place ReLU after every convolution, functional pooling, an unused layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.mixer = nn.Conv2d(6, 10, 3, stride=2, padding=1)
        self.unused = nn.Linear(10, 10)
        self.hidden = nn.Linear(10, 8)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(image)))
        x = self.relu(self.mixer(x)).mean(dim=(2, 3))
        return self.output(self.relu(self.hidden(x)))


def _timm_mobilenetv3() -> nn.Module:
    blocks = ["ds_r1_k3_s2_e1_c8_se0.25_nre"], ["ir_r1_k5_s2_e2_c12_se0.25"], ["cn_r1_k1_s1_c24"]
    gate = partial(efficientnet.SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU)
    return mobilenetv3.MobileNetV3(
        decode_arch_def(blocks),
        num_classes=CLASSES,
        stem_size=8,
        num_features=20,
        act_layer=nn.Hardswish,
        se_layer=gate,
    )


def _timm_efficientnet(*, lite: bool) -> nn.Module:
    gate, act = ("", nn.ReLU6) if lite else ("_se0.25", nn.SiLU)
    blocks = [f"ds_r1_k3_s2_e1_c8{gate}"], [f"ir_r2_k3_s2_e3_c12{gate}"], [f"ir_r1_k5_s2_e3_c16{gate}"]
    return efficientnet.EfficientNet(
        decode_arch_def(blocks),
        num_classes=CLASSES,
        num_features=32,
        stem_size=8,
        act_layer=act,
        pad_type="same" if lite else "",
    )


def _timm_regnet() -> nn.Module:
    cfg = regnet.RegNetCfg(depth=5, w0=8, wa=12.0, wm=2.0, group_size=4, se_ratio=0.25, stem_width=8)
    return regnet.RegNet(cfg, num_classes=CLASSES)


def _timm_vit(**options: object) -> nn.Module:
    make = vision_transformer.VisionTransformer
    return make(IMAGE_SIZE, 16, num_classes=CLASSES, embed_dim=16, depth=3, num_heads=2, **options)


def _timm_deit_distilled() -> nn.Module:
    make = deit.VisionTransformerDistilled
    return make(img_size=IMAGE_SIZE, patch_size=16, num_classes=CLASSES, embed_dim=16, depth=3, num_heads=2)


def _timm_swin(make: Callable[..., nn.Module]) -> nn.Module:
    size = {"img_size": IMAGE_SIZE, "patch_size": 4, "window_size": 4}
    return make(**size, num_classes=CLASSES, embed_dim=8, depths=(1, 2, 2), num_heads=(1, 2, 2))


def _torchvision_vgg() -> nn.Module:
    with torch.device("meta"):  # its 100 million parameters are replaced at once
        network = models.VGG(nn.Sequential(), init_weights=False)
    network.features = models.vgg.make_layers([8, "M", 12, "M", 16, "M", 16, 16, "M"])
    network.classifier = nn.Sequential(
        *(nn.Linear(16 * 49, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, CLASSES))
    )
    return network


def _torchvision_mobilenet() -> nn.Module:
    config = partial(models.mobilenetv3.InvertedResidualConfig, dilation=1, width_mult=1.0)
    settings = [
        config(8, 3, 8, 8, True, "RE", stride=2),
        config(8, 3, 16, 12, False, "RE", stride=2),
        config(12, 5, 24, 16, True, "HS", stride=2),
    ]
    return models.MobileNetV3(settings, last_channel=24, num_classes=CLASSES)


def _torchvision_efficientnet() -> nn.Module:
    config = partial(models.efficientnet.MBConvConfig, kernel=3, num_layers=1)
    settings = [
        config(expand_ratio=1, stride=2, input_channels=8, out_channels=8),
        config(expand_ratio=3, stride=2, input_channels=8, out_channels=12),
        config(expand_ratio=3, stride=2, input_channels=12, out_channels=16),
    ]
    return models.EfficientNet(settings, dropout=0.1, num_classes=CLASSES, last_channel=32)


def _torchvision_regnet() -> nn.Module:
    params = models.regnet.BlockParams.from_init_params(
        depth=5, w_0=8, w_a=12.0, w_m=2.0, group_width=4, se_ratio=0.25
    )
    return models.RegNet(params, num_classes=CLASSES, stem_width=8)


def _torchvision_convnext() -> nn.Module:
    widths = ((8, 12), (12, 16), (16, 24), (24, None))
    settings = [models.convnext.CNBlockConfig(before, after, 1) for before, after in widths]
    return models.ConvNeXt(settings, num_classes=CLASSES)


def _torchvision_vit() -> nn.Module:
    size = {"image_size": IMAGE_SIZE, "patch_size": 16}
    return models.VisionTransformer(
        **size, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=CLASSES
    )


def _torchvision_swin() -> nn.Module:
    size = {"patch_size": [4, 4], "window_size": [4, 4]}
    return models.SwinTransformer(
        **size, embed_dim=8, depths=[1, 2, 2], num_heads=[1, 2, 2], num_classes=CLASSES
    )


_UNDRAWN: dict[str, Callable[[], nn.Module]] = {
    "timm resnet": lambda: resnet.ResNet(
        resnet.BasicBlock, (1, 1, 1, 1), num_classes=CLASSES, channels=(8, 12, 16, 24)
    ),
    "timm vgg": lambda: vgg.VGG(
        [8, "M", 12, "M", 16, "M", 16, 16, "M"], num_classes=CLASSES, mlp_ratio=1 / 256
    ),
    "timm densenet": lambda: densenet.DenseNet(growth_rate=4, block_config=(2, 2, 2), num_classes=CLASSES),
    "timm mobilenetv3": _timm_mobilenetv3,
    "timm tf_efficientnet_lite": partial(_timm_efficientnet, lite=True),
    "timm efficientnet": partial(_timm_efficientnet, lite=False),
    "timm regnet": _timm_regnet,
    "timm convnext": lambda: convnext.ConvNeXt(
        num_classes=CLASSES, depths=(1, 1, 1, 1), dims=(8, 12, 16, 24)
    ),
    "timm vit": _timm_vit,
    "timm vit average pooling": partial(_timm_vit, global_pool="avg"),
    "timm vit registers": partial(_timm_vit, reg_tokens=4),
    "timm vit attention pooling": partial(_timm_vit, global_pool="map", class_token=False),
    "timm deit distilled": _timm_deit_distilled,
    "timm swin": partial(_timm_swin, swin_transformer.SwinTransformer),
    "timm swinv2": partial(_timm_swin, swin_transformer_v2.SwinTransformerV2),
    "torchvision resnet": lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES),
    "torchvision vgg": _torchvision_vgg,
    "torchvision densenet": lambda: models.DenseNet(
        growth_rate=4, block_config=(2, 2, 2), num_init_features=8, num_classes=CLASSES
    ),
    "torchvision mobilenet_v3": _torchvision_mobilenet,
    "torchvision efficientnet": _torchvision_efficientnet,
    "torchvision regnet": _torchvision_regnet,
    "torchvision convnext": _torchvision_convnext,
    "torchvision vit": _torchvision_vit,
    "torchvision swin": _torchvision_swin,
    "own": Own,
}


def _drawn(name: str) -> nn.Module:
    """Make a network and draw its weights, leaving torch's random state as it was."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = _UNDRAWN[name]()
        for parameter_name, parameter in network.named_parameters():
            noise = torch.randn_like(parameter)
            if "logit_scale" in parameter_name:
                continue
            if parameter.ndim > 1 and parameter.shape[0] > 1:  # He et al.'s size: fan-in
                parameter.copy_(noise * (2 / parameter[0].numel()) ** 0.5)
            elif parameter.ndim > 1 or "bias" in parameter_name:  # tokens and positions; biases
                parameter.copy_(noise * 0.3)
            else:  # scales
                parameter.copy_(1 + 0.1 * noise)
    return network.eval()


FAMILIES: dict[str, Callable[[], nn.Module]] = {name: partial(_drawn, name) for name in _UNDRAWN}
