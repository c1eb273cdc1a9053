"""From what the user writes as a method to the objective of a run."""

from __future__ import annotations

from dataclasses import replace

from lookright.config import TrainConfig
from lookright.errors import ConfigError
from lookright.losses.base import ExplanationLoss
from lookright.losses.methods import METHODS
from lookright.losses.objective import Objective, Term
from lookright.losses.recipes import MethodContext, make_term
from lookright.plugins import check_kind, is_dotted, load, unknown_name
from lookright.resize import ResizeRule
from lookright.specification import Part, parse_sum
from lookright.types import Score, Target, Task


def build_objective(
    config: TrainConfig,
    stride: int,
    layers: tuple[str, ...] = (),
    *,
    task: Task = Task.SINGLE_LABEL,
    images: int | None = None,
) -> Objective:
    """Make the objective of a run.

    Args:
        config: the options of the run; its `method` is a sum such as 'res-g + 0.3*energy', each part a name
            of `METHODS` or a dotted path to a loss of your own, with options in parentheses
        stride: pixels per cell of the explanation, for imputers that work on the image
        layers: the stages of the network, lowest first, for losses on several layers
        task: what the network predicts
        images: how many are trained on, for weights that depend on it; None: not known, they are whole

    Raises:
        ConfigError: an unknown method, a path that does not import, an option that is not there or out of
            its range.

    Example:
        >>> objective = build_objective(TrainConfig(method="res-g + 0.3*gradia"), stride=32)
        >>> [(type(term.loss).__name__, term.weight) for term in objective.terms]
        [('RES', 1.0), ('GRADIA', 0.3)]
    """
    context = MethodContext(config, stride, layers, images=images)
    terms = [term for part in parse_method(config) for term in _terms(part, context)]
    for term in terms:
        term.loss.resize = ResizeRule(config.resize)
        term.loss.magnitude_is_weight = config.combine == "agreement"
        request = term.loss.request
        if request.explainer is None:  # a loss that is defined on one quantity keeps it
            request = replace(
                request,
                target=Target(config.explain),
                score=request.score if config.score == "auto" else Score(config.score),
            )
        term.loss.request = request
    return Objective(terms, task=task)


def parse_method(config: TrainConfig) -> tuple[Part, ...]:
    """Read the option `method`; what is another name for a sum is that sum.

    Raises:
        ConfigError: it is no sum of names, or a name is unknown.

    Example:
        >>> [part.name for part in parse_method(TrainConfig(method="auto"))]
        ['complete', 'isolate', 'evidence', 'soft-iou']
    """
    parts: list[Part] = []
    for part in parse_sum("method", config.method):
        if part.name not in METHODS and not is_dotted(part.name):
            raise unknown_name("method", part.name, METHODS, "a loss of your own as module.Class")
        info = METHODS.get(part.name)
        parts += [part] if info is None or not info.sum else _spelled_out(part, info.sum)
    return tuple(parts)


def spell_out(config: TrainConfig) -> str:
    """Say what a run's `method` means today, as a sum: what `auto` stands for may change.

    Raises:
        ConfigError: as `parse_method`.

    Example:
        >>> spell_out(TrainConfig(method="2*auto"))
        "complete + isolate + 2.0*evidence + 6.0*soft-iou(score='logit', images=100)"
        >>> spell_out(TrainConfig(method=".30*res-g"))  # stands for nothing else: as it was written
        '.30*res-g'
    """
    meant = parse_method(config)
    return config.method if meant == parse_sum("method", config.method) else " + ".join(map(str, meant))


def _spelled_out(part: Part, meant: str) -> list[Part]:
    """The parts of what a method is another name for; a weight is that of its losses."""
    if part.options:
        raise ConfigError(
            f"method: {part.name} has no options; it stands for '{meant}': write that, and options behind "
            "its parts"
        )
    return [
        each if METHODS[each.name].loss is None else replace(each, weight=part.weight * each.weight)
        for each in parse_sum("method", meant)
    ]


def _terms(part: Part, context: MethodContext) -> list[Term]:
    info = METHODS.get(part.name)
    if info is None:
        kind = load("method", part.name)
        check_kind("method", part.name, kind, ExplanationLoss)
        terms = [make_term(part.name, kind, part.options)]
    else:
        terms = info.recipe(replace(context, name=part.name), part.options)
    weight = context.config.explanation_weight * part.weight
    balanced = context.config.weighting == "gradient"
    return [Term(term.loss, weight * term.weight, balanced) for term in terms]
