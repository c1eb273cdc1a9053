"""The explainers that the command line knows by name."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lookright.errors import ConfigError
from lookright.explainers.activation import Activation
from lookright.explainers.base import Explainer
from lookright.explainers.cam import (
    ClassActivationMap,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from lookright.explainers.gradient import InputGradient, InputXGradient
from lookright.explainers.gradient_path import IntegratedGradients, SmoothGrad
from lookright.explainers.region import ContextualDecomposition, InputGradientBounds, OutputBounds
from lookright.explainers.transformer import AttentionRelevance, AttentionRollout
from lookright.plugins import check_kind, is_dotted, load, make, unknown_name
from lookright.specification import parse_one
from lookright.types import Request

EXPLAINERS: dict[str, type[Explainer]] = {
    "grad-cam": GradCAM,
    "cam": ClassActivationMap,
    "grad-cam-plus-plus": GradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "layer-cam": LayerCAM,
    "xgrad-cam": XGradCAM,
    "input-gradient": InputGradient,
    "input-x-gradient": InputXGradient,
    "integrated-gradients": IntegratedGradients,
    "smooth-grad": SmoothGrad,
    "activation": Activation,
    "attention-rollout": AttentionRollout,
    "attention-relevance": AttentionRelevance,
    "contextual-decomposition": ContextualDecomposition,
    "output-bounds": OutputBounds,
    "input-gradient-bounds": InputGradientBounds,
}
"""name -> explainer"""


def make_explainer(
    text: str,
    network: nn.Module,
    target_layer: nn.Module | str | None = None,
    *,
    second_order: bool = True,
    image_size: int = 224,
) -> Explainer:
    """Make the explainer that an option names.

    Args:
        text: a name of `EXPLAINERS` or a dotted path to a class of your own (module.Class), with options in
            parentheses: 'smooth-grad(samples=8)'
        network: to be explained
        target_layer: layer to look at; found by itself if None
        second_order: see `Explainer`
        image_size: size of the images

    Raises:
        ConfigError: an unknown name or option, a path that does not import, an explainer that does not fit
            the network.

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> type(make_explainer("grad-cam", network, image_size=32)).__name__
        'GradCAM'
    """
    part = parse_one("explainer", text)
    kind: object = EXPLAINERS.get(part.name)
    if kind is None:
        if not is_dotted(part.name):
            raise unknown_name("explainer", part.name, EXPLAINERS, "a class of your own as module.Class")
        kind = load("explainer", part.name)
        check_kind("explainer", part.name, kind, Explainer)
    given = {
        "network": network,
        "target_layer": target_layer,
        "second_order": second_order,
        "image_size": image_size,
    }
    made = make("explainer", kind, part.options, name=part.name, given=given)
    if not isinstance(made, Explainer):
        raise ConfigError(f"explainer: {part.name} gave a {type(made).__name__}, not an Explainer")
    return made


def explainers_for(requests: Iterable[Request], explainer: Explainer) -> dict[Request, Explainer]:
    """Find who answers each request: the explainer of the run, or one that a loss is defined on.

    Args:
        requests: of the losses
        explainer: of the run, which also says network, order and image size

    Raises:
        ConfigError: an explainer does not fit the network.

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> requests = [Request(), Request(explainer="input-gradient", channels=True)]
        >>> found = explainers_for(requests, GradCAM(network, image_size=32))
        >>> [type(explainer).__name__ for explainer in found.values()]
        ['GradCAM', 'InputGradient']
    """
    made: dict[tuple[str, str | None], Explainer] = {}
    answering: dict[Request, Explainer] = {}
    for request in requests:
        if request.explainer is None:
            answering[request] = explainer
            continue
        key = request.explainer, request.layer
        if key not in made:
            made[key] = make_explainer(
                request.explainer,
                explainer.network,
                request.layer,
                second_order=explainer.second_order,
                image_size=explainer.image_size,
            )
        answering[request] = made[key]
    return answering
