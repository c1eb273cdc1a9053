"""Options of a model that is not a run, for the commands that take one by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from jsonargparse import Namespace

from lookright.cli.parser import Parser


class ModelOptions(TypedDict):
    """As `lookright.audit.open_model` takes them."""

    classes: tuple[str, ...]
    weights: str | None
    image_size: int | None
    explainer: str | None
    target_layer: str | None


def add_model_options(parser: Parser) -> None:
    """Add the options that say what a model is that is not a run."""
    group = parser.add_argument_group("A model that is not a run")
    group.add_argument(
        "--weights",
        type=str | None,
        default=None,
        help="imagenet, bundled, or a FILE (default: imagenet; of tf_efficientnet_lite0 bundled)",
    )
    group.add_argument(
        "--classes",
        type=Path | None,
        default=None,
        help="text file with the names of its outputs, one per line, in their order (default: ImageNet's for "
        "its weights, else the class folders)",
    )
    group.add_argument("--image-size", type=int | None, default=None, help="side of its images (default 224)")
    group.add_argument("--explainer", type=str | None, default=None, help="what explains (default: grad-cam)")
    group.add_argument("--target-layer", type=str | None, default=None, help="layer to explain")


def given_model_options(options: Namespace) -> list[str]:
    """Names of those that were given."""
    return [name for name in ModelOptions.__annotations__ if options[name] is not None]


def read_model_options(options: Namespace) -> ModelOptions:
    """What was given, the names of classes read.

    Raises:
        DataError: the file of --classes cannot be read.
    """
    from lookright.audit import read_classes

    return ModelOptions(
        classes=read_classes(options.classes) if options.classes else (),
        weights=options.weights,
        image_size=options.image_size,
        explainer=options.explainer,
        target_layer=options.target_layer,
    )
