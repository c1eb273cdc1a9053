"""From the options of a method to its terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from lookright.config import ImputerName, TrainConfig
from lookright.errors import ConfigError
from lookright.losses.activation import TAP
from lookright.losses.base import ExplanationLoss
from lookright.losses.imputers import AsDrawn, GaussianImputer, deep_imputer, shallow_imputer
from lookright.losses.objective import Term
from lookright.losses.outside import Evidence
from lookright.losses.overlap import SoftIoU
from lookright.losses.res import RES
from lookright.plugins import make

Options = Mapping[str, object]


@dataclass(frozen=True)
class MethodContext:
    """What a recipe may depend on beside its own options."""

    config: TrainConfig
    stride: int = 32
    """pixels per cell of the explanation, for imputers that work on the image"""
    layers: tuple[str, ...] = ()
    """the stages of the network, lowest first, for losses on several layers"""
    name: str = ""
    """of the method, as the user wrote it, for messages"""
    images: int | None = None
    """how many images are trained on; None: not known yet"""


Recipe = Callable[[MethodContext, Options], list[Term]]


def make_term(name: str, kind: object, options: Options, given: Options | None = None) -> Term:
    """Make the term of one loss.

    Args:
        name: of the method, as the user wrote it
        kind: what makes the loss
        options: of the user
        given: what the user cannot set

    Raises:
        ConfigError: an option that is not there or out of its range, or what is made is no loss.
    """
    loss = make("method", kind, options, name=name, given=given)
    if not isinstance(loss, ExplanationLoss):
        raise ConfigError(f"method: {name} gave a {type(loss).__name__}, not an ExplanationLoss")
    return Term(loss)


def nothing(context: MethodContext, options: Options) -> list[Term]:
    """Supervise no explanation; it has no options, and says so."""
    make("method", lambda: None, options, name=context.name)
    return []


def one(kind: Callable[..., ExplanationLoss]) -> Recipe:
    """Make the recipe of a method that is one loss, with the loss's own options."""

    def recipe(context: MethodContext, options: Options) -> list[Term]:
        return [make_term(context.name, kind, options)]

    return recipe


def res_with_gaussian_imputer(
    *,
    slack: float = 0.1,
    threshold: float | None = None,
    impute: bool = True,
    per_image: bool = False,
    tanh: bool = True,
    normalize: str | None = "min-max",
) -> RES:
    """Make the loss of RES-G; the options are those of `RES`."""
    return RES(
        GaussianImputer() if impute else AsDrawn(),
        slack=slack,
        threshold=threshold,
        per_image=per_image,
        tanh=tanh,
        normalize=_word(normalize),
    )


def res_g(context: MethodContext, options: Options) -> list[Term]:
    """Make the term of RES-G; what its options do not say, flags do."""
    flags = _flags(context.config, "slack", "threshold", "impute", "per_image")
    return [make_term(context.name, res_with_gaussian_imputer, flags | dict(options))]


def res_with_learned_imputer(
    *,
    stride: int,
    imputer: ImputerName = "s1",
    slack: float = 0.1,
    threshold: float | None = None,
    impute: bool = True,
    per_image: bool = False,
    regularizer: float = 0.0,
    stop_gradient: bool = False,
    published_init: bool = False,
    tanh: bool = True,
    normalize: str | None = "min-max",
) -> RES:
    """Make the loss of RES-L; the options are those of `RES` and of its imputer."""
    if imputer not in get_args(ImputerName):
        raise ConfigError(f"imputer: got {imputer!r}, choose one of {', '.join(get_args(ImputerName))}")
    learned = shallow_imputer if imputer in ("s1", "s2") else deep_imputer
    sees_image = imputer in ("s2", "d2")
    return RES(
        learned(stride, sees_image=sees_image, published_init=published_init) if impute else AsDrawn(),
        slack=slack,
        threshold=threshold,
        regularizer=regularizer,
        stop_gradient=stop_gradient,
        per_image=per_image,
        tanh=tanh,
        normalize=_word(normalize),
    )


def res_l(context: MethodContext, options: Options) -> list[Term]:
    """Make the term of RES-L; what its options do not say, flags do."""
    flags = _flags(
        context.config,
        *("imputer", "slack", "threshold", "impute", "per_image"),
        *("regularizer", "stop_gradient", "published_init"),
    )
    given = {"stride": context.stride}
    return [make_term(context.name, res_with_learned_imputer, flags | dict(options), given=given)]


def evidence_terms(*, outside: str = "complement", overlap: float = 0.0) -> list[Term]:
    """Make the terms of evidence.

    Args:
        outside: complement (the negative marks; without any, what does not touch a positive one) or negative
        overlap: weight of the soft IoU added to it; 0 leaves it out
    """
    terms = [Term(Evidence(outside))]
    return [*terms, Term(SoftIoU(), overlap)] if overlap else terms


def evidence(context: MethodContext, options: Options) -> list[Term]:
    """Make the terms of evidence; what its options do not say, flags do."""
    given = _flags(context.config, "outside", "overlap") | dict(options)
    return cast(list[Term], make("method", evidence_terms, given, name=context.name))


def overlap_terms(
    *, training_images: int | None, score: str = "contrast", images: int | None = None
) -> list[Term]:
    """Make the term of soft IoU.

    Args:
        images: how many training images it has its full weight for; with n of them, n > images, it is weighed
            by images / n: as prior knowledge, it says as much beside many images as beside few
    """
    if images is not None and images < 1:
        raise ConfigError(f"images: got {images}, need 1 or more")
    weight = 1.0 if images is None or training_images is None else min(1.0, images / training_images)
    return [Term(SoftIoU(score), weight)]


def soft_iou(context: MethodContext, options: Options) -> list[Term]:
    """Make the term of soft IoU, whose weight may depend on the number of training images."""
    given = {"training_images": context.images}
    return cast(list[Term], make("method", overlap_terms, options, name=context.name, given=given))


def tap_terms(
    *, stages: tuple[str, ...], layers: str | Sequence[str] = "all", published: bool = False
) -> list[Term]:
    """Make the terms of TAP.

    Args:
        stages: of the network
        layers: 'all' stages, the 'last' one, or the name of a layer, or several
    """
    named = [layers] if isinstance(layers, str) else layers
    if layers in ("all", "last"):
        named = stages if layers == "all" else stages[-1:]
    chosen: Sequence[str | None] = named or [None]  # without stages the explainer finds a layer
    return [Term(TAP(layer, published=published), 1 / len(chosen)) for layer in chosen]


def tap(context: MethodContext, options: Options) -> list[Term]:
    """Make the terms of TAP, one for each stage of the network that it is about."""
    given = {"stages": context.layers}
    return cast(list[Term], make("method", tap_terms, options, name=context.name, given=given))


def no_loss(context: MethodContext, options: Options) -> list[Term]:
    """Add no term: whoever makes or runs the batches changes them, with these options."""
    return []


def _word(typed: str | None) -> str:
    return "none" if typed is None else typed  # an option that is typed as none is read as None


def _flags(config: TrainConfig, *names: str) -> dict[str, object]:
    return {name: getattr(config, name) for name in names}
