"""The methods that the command line knows by name, each a recipe of explanation losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, cast, get_args

from lookright.config import ImputerName, TrainConfig
from lookright.errors import ConfigError
from lookright.losses.activation import TAP
from lookright.losses.base import ExplanationLoss
from lookright.losses.bounds import R4, IBPEx
from lookright.losses.decomposition import CDEP
from lookright.losses.gradient import RRR, GALSMatch, GALSSuppress
from lookright.losses.imputers import AsDrawn, GaussianImputer, deep_imputer, shallow_imputer
from lookright.losses.objective import Term
from lookright.losses.outside import RRRG, Evidence, Outside, RRRStar
from lookright.losses.overlap import Energy, SoftIoU
from lookright.losses.pointwise import HAICS, HINT, L1, PPCE
from lookright.losses.pyramid import Harmonization
from lookright.losses.relevance import RobustViT
from lookright.losses.res import RES
from lookright.losses.tradeoff import CYBORG, GRADIA
from lookright.plugins import make
from lookright.types import Normalization

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


@dataclass(frozen=True)
class MethodInfo:
    """A method that has a name."""

    name: str
    summary: str
    loss: type[ExplanationLoss] | None
    """the loss that it is about; None where explanations are not supervised"""
    recipe: Recipe
    _: KW_ONLY
    changes: Literal["batches", "features", "annotations", "views"] | None = None
    """what it changes, where it is no loss: batches get copies (`data.Counterexamples`), features of images
    are exchanged (`engine.exchange.BackgroundExchange`), annotations are completed
    (`engine.completion.Completion`), images are isolated (`data.Isolation`)"""
    sum: str = ""
    """what it is another name for"""
    takes: Callable[..., object] | None = None
    """what its options in parentheses are given to; None: the loss itself"""


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


def _nothing(context: MethodContext, options: Options) -> list[Term]:
    make("method", lambda: None, options, name=context.name)  # it has none: say so
    return []


def _one(kind: Callable[..., ExplanationLoss]) -> Recipe:
    """Make the recipe of a method that is one loss, with the loss's own options."""

    def recipe(context: MethodContext, options: Options) -> list[Term]:
        return [make_term(context.name, kind, options)]

    return recipe


def _res(
    *,
    slack: float = 0.1,
    threshold: float | None = None,
    impute: bool = True,
    per_image: bool = False,
    tanh: bool = True,
    normalize: str | None = "min-max",
) -> RES:
    return RES(
        GaussianImputer() if impute else AsDrawn(),
        slack=slack,
        threshold=threshold,
        per_image=per_image,
        tanh=tanh,
        normalize=_normalization(normalize),
    )


def _res_g(context: MethodContext, options: Options) -> list[Term]:
    flags = _flags(context.config, "slack", "threshold", "impute", "per_image")
    return [make_term(context.name, _res, flags | dict(options))]


def _res_with_learned_imputer(
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
    _check_choice("imputer", imputer, get_args(ImputerName))
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
        normalize=_normalization(normalize),
    )


def _res_l(context: MethodContext, options: Options) -> list[Term]:
    flags = _flags(
        context.config,
        *("imputer", "slack", "threshold", "impute", "per_image"),
        *("regularizer", "stop_gradient", "published_init"),
    )
    given = {"stride": context.stride}
    return [make_term(context.name, _res_with_learned_imputer, flags | dict(options), given=given)]


def _outside(*, outside: str = "complement", overlap: float = 0.0) -> list[Term]:
    """Make the terms of evidence.

    Args:
        outside: complement (all but the positive marks, where there are no negative ones) or negative
        overlap: weight of the soft IoU added to it; 0 leaves it out
    """
    _check_choice("outside", outside, [kind.value for kind in Outside])
    terms = [Term(Evidence(Outside(outside)))]
    return [*terms, Term(SoftIoU(), overlap)] if overlap else terms


def _evidence(context: MethodContext, options: Options) -> list[Term]:
    given = _flags(context.config, "outside", "overlap") | dict(options)
    return cast(list[Term], make("method", _outside, given, name=context.name))


def _overlap(
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


def _soft_iou(context: MethodContext, options: Options) -> list[Term]:
    given = {"training_images": context.images}
    return cast(list[Term], make("method", _overlap, options, name=context.name, given=given))


def _layers(
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


def _tap(context: MethodContext, options: Options) -> list[Term]:
    given = {"stages": context.layers}
    return cast(list[Term], make("method", _layers, options, name=context.name, given=given))


def _no_loss(context: MethodContext, options: Options) -> list[Term]:
    return []  # whoever makes or runs the batches changes them, with these options


def _check_choice(name: str, got: str, choices: Sequence[str]) -> None:
    if got not in choices:
        raise ConfigError(f"{name}: got '{got}', choose one of {', '.join(choices)}")


def _normalization(name: str | None) -> Normalization:
    name = "none" if name is None else name  # an option that is typed as none is read as None
    _check_choice("normalize", name, [kind.value for kind in Normalization])
    return Normalization(name)


def _flags(config: TrainConfig, *names: str) -> dict[str, object]:
    return {name: getattr(config, name) for name in names}


_RECOMMENDED = "complete + isolate + evidence + 3*soft-iou(score=logit, images=100)"

METHODS: dict[str, MethodInfo] = {
    info.name: info
    for info in (
        MethodInfo("baseline", "the prediction loss alone: explanations are not supervised", None, _nothing),
        MethodInfo(
            "auto",
            "what we recommend: complete annotations, isolate images, penalise evidence outside, fit the map",
            None,
            _no_loss,
            sum=_RECOMMENDED,
        ),
        MethodInfo(
            "lookright", "what auto is today: auto may improve, this stays", None, _no_loss, sum=_RECOMMENDED
        ),
        MethodInfo("gradia", "L1 distance between explanation and positive marks", GRADIA, _one(GRADIA)),
        MethodInfo("haics", "binary cross-entropy on the marked cells", HAICS, _one(HAICS)),
        MethodInfo(
            "res-g",
            "slack, adaptive threshold, Gaussian imputer",
            RES,
            _res_g,
            takes=_res,
        ),
        MethodInfo(
            "res-l",
            "slack, adaptive threshold, learned imputer (s1, s2, d1, d2)",
            RES,
            _res_l,
            takes=_res_with_learned_imputer,
        ),
        MethodInfo(
            "evidence",
            "squared evidence of the decision outside the annotation",
            Evidence,
            _evidence,
            takes=_outside,
        ),
        MethodInfo(
            "soft-iou",
            "one minus the soft overlap of explanation and positive marks",
            SoftIoU,
            _soft_iou,
            takes=_overlap,
        ),
        MethodInfo(
            "cyborg", "squared distance to a graded map, in exchange for the prediction", CYBORG, _one(CYBORG)
        ),
        MethodInfo("hint", "squared distance between explanation and positive marks", HINT, _one(HINT)),
        MethodInfo("energy", "share of the positive energy off the positive marks", Energy, _one(Energy)),
        MethodInfo("l1", "L1 distance between positive explanation and positive marks", L1, _one(L1)),
        MethodInfo("ppce", "cross-entropy of the explanation on the positive marks", PPCE, _one(PPCE)),
        MethodInfo("rrr-star", "squared explanation off the positive marks", RRRStar, _one(RRRStar)),
        MethodInfo("rrr-g", "squared explanation at the negative marks", RRRG, _one(RRRG)),
        MethodInfo("rrr", "squared input gradient at the negative marks", RRR, _one(RRR)),
        MethodInfo(
            "gals-suppress",
            "absolute input gradient outside the positive marks",
            GALSSuppress,
            _one(GALSSuppress),
        ),
        MethodInfo(
            "gals-match",
            "distance of the input gradient from 1 at the positive marks",
            GALSMatch,
            _one(GALSMatch),
        ),
        MethodInfo(
            "tap", "squared activations at the negative marks, in all stages", TAP, _tap, takes=_layers
        ),
        MethodInfo(
            "harmonization",
            "distance between input gradient and graded map at several scales",
            Harmonization,
            _one(Harmonization),
        ),
        MethodInfo("cdep", "share of the logits that comes from the negative marks", CDEP, _one(CDEP)),
        MethodInfo(
            "robust-vit",
            "squared distance between a transformer's relevance and the positive marks",
            RobustViT,
            _one(RobustViT),
        ),
        MethodInfo("r4", "bound of the input gradient around the negative marks", R4, _one(R4)),
        MethodInfo("ibp-ex", "cross-entropy of the worst case over the negative marks", IBPEx, _one(IBPEx)),
        MethodInfo(
            "ce",
            "counterexamples: copies of the images whose negative marks are random",
            None,
            _no_loss,
            changes="batches",
        ),
        MethodInfo(
            "exchange",
            "features outside the annotation change places between images",
            None,
            _no_loss,
            changes="features",
        ),
        MethodInfo(
            "complete",
            "annotations are completed from features, before training",
            None,
            _no_loss,
            changes="annotations",
        ),
        MethodInfo(
            "isolate",
            "what lies outside the annotation is replaced in the image, now and then",
            None,
            _no_loss,
            changes="views",
        ),
    )
}
"""name -> method"""
