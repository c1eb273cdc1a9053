"""What is audited: a run, or any classifier by name, with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timm.data.imagenet_info import ImageNetInfo

from lookright.config import PRETRAINED, DataConfig, TrainConfig
from lookright.engine.trained_run import ExplainedClassifier, open_run
from lookright.errors import ConfigError, DataError
from lookright.explainers import EXPLAINERS, make_explainer
from lookright.models import create
from lookright.models.factory import UnknownBackboneError
from lookright.models.weights import BUNDLED_BACKBONE

_IMAGENET = 1000
_USUAL_EXPLAINER = TrainConfig().explainer
_REMEDY = (
    "give a run folder, the name of a network ('lookright backbones' lists them), or a function of your own "
    "as module:function"
)


def open_model(
    model: str,
    *,
    classes: Sequence[str] = (),
    folders: Sequence[str] = (),
    weights: str | None = None,
    image_size: int | None = None,
    explainer: str | None = None,
    target_layer: str | None = None,
) -> ExplainedClassifier:
    """Open a run folder, or make a trained classifier by its name.

    Args:
        model: a run folder; a name of timm's or torchvision's ('torchvision:resnet50'); or a function of your
            own (module:function) that is called as function(num_classes=...) and returns a trained network
        classes: names of its outputs, in their order; by default those of ImageNet for its weights, else
            the `folders`
        folders: classes of the photos, sorted
        weights: 'imagenet', 'bundled', or a file; by default imagenet (of tf_efficientnet_lite0: bundled),
            and for a function of your own 'none': it returns a network that is trained
        image_size: side of the images that it gets; 224 by default
        explainer: what explains it; Grad-CAM by default
        target_layer: which layer; found by itself if None

    Raises:
        ConfigError: no such folder or name; options that a run does not take; no names of classes; an
            explainer that does not fit.
        CheckpointError: no such run or weights.
    """
    if not model:
        raise ConfigError(f"model: empty; {_REMEDY}")
    if Path(model).is_dir():
        given = {
            "classes": classes,
            "weights": weights,
            "image-size": image_size,
            "explainer": explainer,
            "target-layer": target_layer,
        }
        if refused := [f"--{name}" for name, value in given.items() if value not in (None, ())]:
            raise ConfigError(f"{', '.join(refused)}: the run {model} says so itself; leave it out")
        return open_run(Path(model))
    if "/" in model and not Path(model).exists():
        raise ConfigError(f"model: the folder {model} does not exist; {_REMEDY}")
    if image_size is not None and image_size < 1:
        raise ConfigError(f"image_size: got {image_size}, need 1 or more")
    weights = weights or _usual_weights(model)
    known = tuple(classes)
    if weights in PRETRAINED:
        known = known or imagenet_classes()
        if len(known) != _IMAGENET:
            raise ConfigError(
                f"classes: {len(known)} names, and {weights} weights know {_IMAGENET} classes; leave "
                "--classes out, or give the --weights FILE of a classifier of these classes"
            )
    known = known or tuple(folders)
    if len(known) < 2:
        raise ConfigError(
            "classes: what the outputs of the network mean is not known; give --classes FILE, one name per "
            "line in the order of its outputs, or photos in folders of these names"
        )
    size = image_size or DataConfig().image_size
    try:
        classifier = create(
            model,
            num_classes=len(known),
            weights=weights,
            image_size=size,
            pretrained_head=weights in PRETRAINED,
        )
    except UnknownBackboneError as error:  # more often a mistyped folder than a network
        raise ConfigError(f"model: '{model}': no run folder, and {error.reason}; {_REMEDY}") from error
    classifier.network.eval()
    explained_by = explainer or _USUAL_EXPLAINER
    made = make_explainer(explained_by, classifier.network, target_layer, image_size=size)
    if made.needs.region:
        those = ", ".join(name for name, kind in EXPLAINERS.items() if not kind.needs.region)
        raise ConfigError(
            f"explainer: {explained_by} explains a part of the image, for losses that are defined on it; "
            f"choose one of {those}"
        )
    return ExplainedClassifier(
        config=TrainConfig(
            backbone=model,
            weights=weights,
            image_size=size,
            explainer=explained_by,
            target_layer=target_layer,
        ),
        classes=known,
        classifier=classifier,
        explainer=made,
    )


def imagenet_classes() -> tuple[str, ...]:
    """Names of ImageNet's 1000 classes, in their order, as timm has them.

    Example:
        >>> imagenet_classes()[281]
        'tabby, tabby cat'
    """
    info = ImageNetInfo("imagenet-1k")
    return tuple(info.index_to_description(index) for index in range(_IMAGENET))


def read_classes(file: Path) -> tuple[str, ...]:
    """Read names of classes, one per line.

    Raises:
        DataError: the file cannot be read, or names a class twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); give a text file, one class per line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{file}: names the class {twice[0]!r} twice; give each output a name of its own")
    return names


def _usual_weights(model: str) -> str:
    if model == BUNDLED_BACKBONE:
        return "bundled"
    is_own = ":" in model and not model.startswith("torchvision:")
    return "none" if is_own else "imagenet"
