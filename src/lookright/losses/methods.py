"""The methods that the command line knows by name, each a recipe of explanation losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lookright.config import TrainConfig
from lookright.errors import ConfigError
from lookright.losses.imputers import AsDrawn, GaussianImputer, Imputer, deep_imputer, shallow_imputer
from lookright.losses.objective import Objective, Term
from lookright.losses.outside import Evidence, Outside
from lookright.losses.overlap import SoftIoU
from lookright.losses.pointwise import GRADIA, HAICS
from lookright.losses.res import RES
from lookright.resize import ResizeRule

Recipe = Callable[[TrainConfig, int], list[Term]]
"""(options, pixels per cell of the explanation) -> explanation losses with weights"""


@dataclass(frozen=True)
class MethodInfo:
    """A method as `lookright methods` shows it."""

    name: str
    summary: str
    paper: str
    uses: str
    options: str
    recipe: Recipe


def build_objective(config: TrainConfig, stride: int) -> Objective:
    """Make the objective of a run.

    Args:
        config: the options of the run
        stride: pixels per cell of the explanation, for imputers that work on the image

    Raises:
        ConfigError: an unknown method, or an option out of its range.

    Example:
        >>> objective = build_objective(TrainConfig(method="res-g"), stride=32)
        >>> [type(term.loss).__name__ for term in objective.terms]
        ['RES']
    """
    info = METHODS.get(config.method)
    if info is None:
        raise ConfigError(f"method: got '{config.method}', choose one of {', '.join(METHODS)}")
    terms = [Term(term.loss, config.explanation_weight * term.weight) for term in info.recipe(config, stride)]
    for term in terms:
        term.loss.resize = ResizeRule(config.resize)
    return Objective(terms)


def _baseline(config: TrainConfig, stride: int) -> list[Term]:
    return []


def _gradia(config: TrainConfig, stride: int) -> list[Term]:
    return [Term(GRADIA())]


def _haics(config: TrainConfig, stride: int) -> list[Term]:
    return [Term(HAICS())]


def _res_g(config: TrainConfig, stride: int) -> list[Term]:
    return [Term(_res(config, GaussianImputer()))]


def _res_l(config: TrainConfig, stride: int) -> list[Term]:
    make = shallow_imputer if config.imputer in ("s1", "s2") else deep_imputer
    sees_image = config.imputer in ("s2", "d2")
    return [Term(_res(config, make(stride, sees_image=sees_image, published_init=config.published_init)))]


def _res(config: TrainConfig, imputer: Imputer) -> RES:
    return RES(
        imputer if config.impute else AsDrawn(),
        slack=config.slack,
        threshold=config.threshold,
        regularizer=config.regularizer,
        stop_gradient=config.stop_gradient,
        per_image=config.per_image,
    )


def _evidence(config: TrainConfig, stride: int) -> list[Term]:
    terms = [Term(Evidence(Outside(config.outside)))]
    if config.overlap:
        terms.append(Term(SoftIoU(), config.overlap))
    return terms


METHODS: dict[str, MethodInfo] = {
    info.name: info
    for info in (
        MethodInfo(
            "baseline", "cross-entropy alone: explanations are not supervised", "-", "-", "-", _baseline
        ),
        MethodInfo(
            "gradia",
            "L1 distance between explanation and positive marks",
            GRADIA.paper,
            GRADIA.uses,
            "-",
            _gradia,
        ),
        MethodInfo("haics", "binary cross-entropy on the marked cells", HAICS.paper, HAICS.uses, "-", _haics),
        MethodInfo(
            "res-g",
            "slack, adaptive threshold, Gaussian imputer",
            RES.paper,
            RES.uses,
            "--slack --threshold --impute --per-image",
            _res_g,
        ),
        MethodInfo(
            "res-l",
            "slack, adaptive threshold, learned imputer (s1, s2, d1, d2)",
            RES.paper,
            RES.uses,
            "as res-g, --imputer --regularizer --stop-gradient --published-init",
            _res_l,
        ),
        MethodInfo(
            "evidence",
            "squared evidence of the decision outside the annotation",
            Evidence.paper,
            Evidence.uses,
            "--outside --overlap",
            _evidence,
        ),
    )
}
"""name -> method"""
