"""Everything about a method or an explainer, from its class: nothing is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Literal, NamedTuple

from lookright.config import TrainConfig, option_name
from lookright.data import Counterexamples, Isolation
from lookright.describe.docstring import Docstring, read_docstring
from lookright.engine.completion import Completion
from lookright.engine.exchange import BackgroundExchange
from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, Explainer, LayerExplainer
from lookright.losses import METHODS, ExplanationLoss, MethodInfo
from lookright.plugins import is_dotted, load, unknown_name
from lookright.specification import parse_sum
from lookright.types import Normalization, Request, Score

SCORES = {
    Score.LOGIT: "class's logit",
    Score.CONTRAST: "class's logit less the mean of the others",
    Score.RUNNER_UP: "class's logit less the largest of the others",
    Score.LOG_PROBABILITY: "class's log probability",
    Score.ALL_LOG_PROBABILITIES: "sum of all classes' log probabilities",
}
SCALES = {
    Normalization.NONE: "not scaled",
    Normalization.MIN_MAX: "min-max scaled to [0, 1]",
    Normalization.RELU_MAX: "positive part divided by the maximum",
    Normalization.MAX_ABS: "divided by its largest magnitude",
}
SIGNS = ("positive", "negative")
"""of marks"""
_GIVEN = ("network", "target_layer", "second_order", "image_size")
"""Arguments that an explainer gets from us."""


@dataclass(frozen=True)
class Option:
    """One option in the parentheses behind a name."""

    name: str
    default: str
    """as it is written in Python; empty: it has none"""
    text: str
    flag: str = ""
    """the same option of the command line"""


@dataclass(frozen=True)
class Entry:
    """A method or an explainer."""

    kind: Literal["method", "explainer"]
    name: str
    summary: str
    paper: str = ""
    equation: str = ""
    notes: str = ""
    explained_by: str = ""
    """name of the explainer that the loss is defined on; empty: the one that the run explains with"""
    explanation: str = ""
    """the explanation that the loss is defined on, in words"""
    uses: str = ""
    """marks: positive, negative"""
    needs: tuple[str, ...] = ()
    """those without which it does nothing: of a sum, what any of its parts needs"""
    counts_unmarked: bool | None = None
    pools: bool | None = None
    order: str = ""
    """of derivatives: first, second; empty where there is no loss"""
    cost: str = ""
    differs: str = ""
    options: tuple[Option, ...] = ()
    at_a_layer: bool = False
    """whether the explanation is of a layer, so that what lies below can be frozen and kept"""
    used_by: tuple[str, ...] = ()
    """methods that are defined on this explainer"""
    chosen: bool = True
    """whether it is for the user to choose: an explainer of a part of the image is for losses alone"""
    alone: bool = True
    """whether it does something without another method beside it"""


def find_entry(name: str) -> Entry:
    """Describe what a name means: a method, an explainer, or a class of the user's own.

    Raises:
        ConfigError: there is no such thing.

    Example:
        >>> find_entry("grad-cam").kind, find_entry("rrr").paper
        ('explainer', 'RRR: Ross et al., IJCAI 2017')
    """
    if name in METHODS:
        return describe_method(METHODS[name])
    if name in EXPLAINERS:
        return describe_explainer(name, EXPLAINERS[name])
    if not is_dotted(name):
        raise unknown_name("name", name, [*METHODS, *EXPLAINERS], "a class of your own as module.Class")
    kind = load("name", name)
    if isinstance(kind, type) and issubclass(kind, ExplanationLoss):
        return _describe_loss(name, kind, kind)
    if isinstance(kind, type) and issubclass(kind, Explainer):
        return describe_explainer(name, kind)
    raise ConfigError(
        f"name: {name} is neither a class derived from lookright.ExplanationLoss nor one from "
        "lookright.explainers.Explainer"
    )


def describe_method(info: MethodInfo) -> Entry:
    """Describe a method that has a name."""
    if info.changes:
        return _describe_change(info, _CHANGES[info.changes])
    if info.sum:
        return _describe_sum(info)
    if info.loss is None:
        return Entry("method", info.name, info.summary)
    return _describe_loss(
        info.name,
        info.loss,
        info.takes or info.loss,
        summary=info.summary,
    )


class _Change(NamedTuple):
    """What changes what is trained on, and is no loss."""

    kind: type[Counterexamples | BackgroundExchange | Completion | Isolation]
    cost: str
    counts_unmarked: bool | None
    alone: bool = True


_CHANGES = {
    "batches": _Change(Counterexamples, "forward and backward pass of the copies", False),
    "features": _Change(BackgroundExchange, "next to nothing", True),
    "annotations": _Change(
        Completion,
        "once, before training: features of all images, and a linear model of their cells",
        None,
        alone=False,
    ),
    "views": _Change(Isolation, "next to nothing; cached features: one more pass per image, once", True),
}


def _describe_change(info: MethodInfo, change: _Change) -> Entry:
    kind, cost, counts_unmarked, alone = change
    doc = _documents(kind)
    return Entry(
        "method",
        info.name,
        info.summary,
        kind.paper,
        doc.equation,
        doc.notes,
        uses=kind.uses,
        needs=_needs(kind.uses),
        counts_unmarked=counts_unmarked,
        cost=cost,
        options=_options(kind, doc),
        alone=alone,
    )


def _describe_sum(info: MethodInfo) -> Entry:
    """Describe another name for a sum, by what its parts say of themselves."""
    parts = [describe_method(METHODS[part.name]) for part in parse_sum("method", info.sum)]
    losses = [part for part in parts if part.order]
    return Entry(
        "method",
        info.name,
        info.summary,
        "lookright",
        info.sum,
        "Another name for this sum. Its parts:\n\n" + "\n".join(f"* {p.name}: {p.summary}" for p in parts),
        explanation=f"as its losses look at it (lookright methods {', '.join(p.name for p in losses)})",
        uses=", ".join(sign for sign in SIGNS if any(sign in p.uses for p in parts)),
        needs=tuple(sign for sign in SIGNS if any(sign in p.needs for p in parts)),
        counts_unmarked=any(part.counts_unmarked for part in parts),
        pools=any(bool(part.pools) for part in parts),
        order=max(part.order for part in losses),  # second is more than first
        cost="; ".join(dict.fromkeys(part.cost for part in parts)),
        at_a_layer=all(loss.at_a_layer for loss in losses),
    )


def describe_explainer(name: str, kind: type[Explainer]) -> Entry:
    """Describe an explainer."""
    doc = _documents(kind)
    return Entry(
        "explainer",
        name,
        _without_full_stop(doc.summary),
        kind.paper,
        doc.equation,
        doc.notes,
        order=kind.order,
        cost=kind.cost,
        options=_options(kind, doc, hidden=_GIVEN),
        at_a_layer=issubclass(kind, LayerExplainer),
        used_by=tuple(
            method for method, info in METHODS.items() if info.loss and info.loss.request.explainer == name
        ),
        chosen=not kind.needs.region,
    )


def _describe_loss(
    name: str,
    loss: type[ExplanationLoss],
    takes: Callable[..., object],
    *,
    summary: str = "",
) -> Entry:
    doc = _documents(loss, takes)
    explainer = EXPLAINERS[loss.request.explainer or TrainConfig().explainer]
    given = takes is not loss  # a recipe gives the loss more than the user does
    return Entry(
        "method",
        name,
        summary or _without_full_stop(doc.summary),
        loss.paper,
        doc.equation,
        doc.notes,
        explained_by=loss.request.explainer or "",
        explanation=_explanation(loss.request, explainer),
        uses=loss.uses,
        needs=_needs(loss.uses),
        counts_unmarked=loss.counts_unmarked,
        pools=loss.pools,
        order=explainer.order,
        cost=loss.cost or explainer.cost,
        differs=loss.differs,
        options=_options(takes, doc, only_with_default=given),
        at_a_layer=issubclass(explainer, LayerExplainer),
    )


def _needs(uses: str) -> tuple[str, ...]:
    """Of marks, those that are the only ones that something uses."""
    used = tuple(sign for sign in SIGNS if sign in uses)
    return used if len(used) == 1 else ()


def _explanation(request: Request, explainer: type[Explainer]) -> str:
    who = request.explainer or f"--explainer ({TrainConfig().explainer} unless named)"
    looks_at_score = explainer.needs.gradient and explainer.order == "second"
    channels = ", with its channels" if request.channels else ""
    score = f" of the {SCORES[request.score]}" if looks_at_score else ""
    return f"{who}{score}, {SCALES[request.normalization]}{channels}"


def _options(
    takes: Callable[..., object],
    doc: Docstring,
    *,
    hidden: tuple[str, ...] = (),
    only_with_default: bool = False,
) -> tuple[Option, ...]:
    found = []
    config = {f.name: f.metadata["help"].partition(": ")[2] for f in fields(TrainConfig)}
    defaults = TrainConfig()
    for parameter in inspect.signature(takes).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        needed = parameter.default is parameter.empty
        name = parameter.name
        if not named or name in hidden or (needed and only_with_default):
            continue
        falls_back = only_with_default and name in config and getattr(defaults, name) == parameter.default
        flag = "--" + option_name(name).replace("_", "-") if falls_back else ""
        text = doc.arguments.get(name) or (config.get(name, "") if flag else "")
        found.append(Option(name, "" if needed else _written(parameter.default), text, flag))
    return tuple(found)


def _written(default: object) -> str:
    return repr(default.value if isinstance(default, Enum) else default)


def _documents(kind: type, takes: Callable[..., object] | None = None) -> Docstring:
    """The docstring of a class; what it does not tell of its arguments, its bases do."""
    doc = read_docstring(kind.__doc__)
    arguments: dict[str, str] = {}
    for thing in (*([takes] if takes else []), *kind.__mro__):
        arguments = read_docstring(thing.__doc__).arguments | arguments
    return Docstring(doc.summary, doc.equation, doc.notes, arguments)


def _without_full_stop(sentence: str) -> str:
    return sentence.removesuffix(".")
