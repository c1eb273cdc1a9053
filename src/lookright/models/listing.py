"""Which backbones there are, and what lookright finds in one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import timm

from lookright.config import TrainScope
from lookright.errors import LookrightError
from lookright.models.factory import (
    SMALL_CNN,
    TORCHVISION,
    create,
    is_backbone,
    torchvision_names,
    unknown_backbone,
)
from lookright.models.layers import TargetLayer, find_target_layer
from lookright.models.maps import Layout
from lookright.models.scope import find_scope
from lookright.models.weights import BUNDLED_BACKBONE

# timm's modules. Other transformers and hybrids are not listed; naming one works where a map or tokens of one
# lead to the logits, and is refused clearly where none do.
# fmt: off
_TIMM_CNNS = (
    "byobnet", "convnext", "cspnet", "cspnext", "densenet", "dla",
    "dpn", "efficientnet", "fasternet", "ghostnet", "hardcorenas", "hgnet",
    "hrnet", "inception_next", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2",
    "mobilenetv3", "nasnet", "nfnet", "pnasnet", "rdnet", "regnet",
    "repghost", "res2net", "resnest", "resnet", "resnetv2", "rexnet",
    "selecsls", "senet", "sknet", "starnet", "tresnet", "vgg",
    "vovnet", "xception", "xception_aligned",
)
# Of each at least one was tried: with random weights, a change of the image changed the explained map most at
# the same place.
_TIMM_TRANSFORMERS = (
    "beit", "cait", "convit", "davit", "deit", "edgenext",
    "efficientformer", "efficientformer_v2", "efficientvit_mit", "eva", "fastvit", "focalnet",
    "gcvit", "hiera", "maxxvit", "metaformer", "mvitv2", "nest",
    "nextvit", "pit", "pvt_v2", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr",
    "twins", "vision_transformer", "vision_transformer_relpos", "vitamin", "xcit",
)
# fmt: on


@dataclass(frozen=True)
class Backbone:
    """A name that `create` takes."""

    name: str
    weights: tuple[str, ...]
    """what `weights` may be beside none and a file: bundled, imagenet"""


@dataclass(frozen=True)
class Part:
    """What one train scope trains."""

    modules: tuple[str, ...]
    parameters: int
    """how many numbers"""


@dataclass(frozen=True)
class Description:
    """What lookright finds in a backbone."""

    backbone: Backbone
    image_size: int
    target_layer: TargetLayer
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scopes: dict[TrainScope, Part | str]
    """the part, or why there is none"""


def list_backbones(pattern: str = "") -> list[Backbone]:
    """List the networks whose name contains `pattern`: ours, timm's, torchvision's.

    An exact name that `create` takes but the list leaves out (a rarer one, module:function) is given too.

    Example:
        >>> [backbone.name for backbone in list_backbones("mobilenet_v3")]
        ['torchvision:mobilenet_v3_large', 'torchvision:mobilenet_v3_small']
    """
    ours = [Backbone(SMALL_CNN, ())]
    pretrained = {name.partition(".")[0] for name in timm.list_pretrained()}
    modules = (*_TIMM_CNNS, *_TIMM_TRANSFORMERS)
    names = sorted({name for module in modules for name in timm.list_models(module=module)})
    from_timm = [
        Backbone(
            name,
            (("bundled",) if name == BUNDLED_BACKBONE else ())
            + (("imagenet",) if name in pretrained else ()),
        )
        for name in names
    ]
    from_torchvision = [Backbone(name, ("imagenet",)) for name in torchvision_names()]
    found = [b for b in (*ours, *from_timm, *from_torchvision) if pattern.lower() in b.name.lower()]
    if not found and is_backbone(pattern):
        pretrained_too = pattern.startswith(TORCHVISION) or timm.is_model_pretrained(pattern)
        return [Backbone(pattern, ("imagenet",) if pretrained_too else ())]
    return found


def describe_backbone(name: str, *, image_size: int = 224, target_layer: str | None = None) -> Description:
    """Say what lookright finds in one backbone: target layer, grid, and what each train scope trains.

    The network is made with random weights: nothing is downloaded.

    Raises:
        ConfigError: an unknown name, or a network that cannot be explained.
    """
    classifier = create(name, num_classes=2, image_size=image_size)
    found = find_target_layer(classifier.network, image_size=image_size, name=target_layer)
    sizes = {parameter: p.numel() for parameter, p in classifier.network.named_parameters()}
    scopes: dict[TrainScope, Part | str] = {}
    for scope in get_args(TrainScope):
        try:
            split = find_scope(classifier.network, scope, image_size=image_size)
        except LookrightError as error:
            scopes[scope] = str(error)
        else:
            scopes[scope] = Part(split.parts, sum(sizes[parameter] for parameter in split.trained))
    listed = next((b for b in list_backbones(name) if b.name == name), Backbone(name, ()))
    return Description(
        backbone=listed,
        image_size=image_size,
        target_layer=found,
        mean=classifier.mean,
        std=classifier.std,
        scopes=scopes,
    )


def format_backbones(backbones: list[Backbone], pattern: str = "") -> str:
    """Write a list of backbones for the terminal, one a line.

    Args:
        backbones: what was found
        pattern: what was looked for, for the error

    Raises:
        ConfigError: nothing was found.

    Example:
        >>> print(format_backbones(list_backbones("tf_efficientnet_lite0")))
        tf_efficientnet_lite0  bundled, imagenet
        1 backbone. 'lookright backbones NAME' says what is found in one.
    """
    if not backbones:
        raise unknown_backbone(pattern, "no name contains that")
    width = max(len(backbone.name) for backbone in backbones)
    lines = [f"{b.name:{width}}  {', '.join(b.weights) or '-'}" for b in backbones]
    count = f"{len(backbones)} backbone{'' if len(backbones) == 1 else 's'}"
    return "\n".join([*lines, f"{count}. 'lookright backbones NAME' says what is found in one."])


def format_backbone(description: Description) -> str:
    """Write the description of one backbone for the terminal."""
    layer, size = description.target_layer, description.image_size
    tokens = f"{math.prod(layer.grid)} patch tokens"
    if layer.prefix:
        tokens += f" after {layer.prefix} class or register token{'' if layer.prefix == 1 else 's'}"
    rows = [
        ("weights", ", ".join(("none", *description.backbone.weights, "FILE"))),
        ("normalisation", f"mean {_numbers(description.mean)}, std {_numbers(description.std)}"),
        ("target layer", f"{layer.name} ({type(layer.module).__name__})"),
        ("explanation", f"{layer.grid[0]} x {layer.grid[1]} cells for images of {size} x {size} pixels"),
        ("", f"1 cell = {layer.stride} pixels, {layer.channels} channels"),
        ("layout", layer.layout.value + (f": {tokens}" if layer.layout is Layout.TOKENS else "")),
    ]
    for scope, part in description.scopes.items():
        told = part if isinstance(part, str) else f"{part.parameters:,} parameters: {', '.join(part.modules)}"
        rows.append((f"train {scope}", told))
    return "\n".join([description.backbone.name, *(f"  {key:17}  {value}" for key, value in rows)])


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values)
