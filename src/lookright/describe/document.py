"""The page docs/methods.md: prose in a template, facts from the classes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_type_hints

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lookright.config import TrainConfig
from lookright.describe.facts import SCORES, SIGNS, Entry, describe_explainer, describe_method
from lookright.describe.terminal import authors, details, explained_by, marks
from lookright.engine.weighting import GradientRatio
from lookright.explainers import EXPLAINERS
from lookright.losses import METHODS
from lookright.types import Score

UNADVISED = ("gals-match",)
"""what nobody is sent to: as it is weighed, it destroyed the network on each of three data sets"""
COMMAND = "lookright methods --markdown > docs/methods.md"
"""What writes the page."""


def write_document() -> str:
    """Write the page of all methods and explainers as Markdown."""
    methods = [describe_method(info) for info in METHODS.values()]
    supervising = [e for e in methods if e.uses]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(code=_code, cell=_cell, sentence=_sentence)
    text = environment.get_template("methods.md.jinja").render(
        methods=methods,
        explainers=[describe_explainer(name, kind) for name, kind in EXPLAINERS.items()],
        choices=_choices(supervising),
        unadvised=UNADVISED,
        counting=[e.name for e in supervising if e.counts_unmarked],
        not_counting=[e.name for e in supervising if e.counts_unmarked is False],
        recommended=describe_method(METHODS["auto"]),
        on_gradients=[e.name for e in methods if e.explained_by == "input-gradient"],
        pooling=[e.name for e in supervising if e.pools],
        same_as=lambda entry: _same_as(entry, methods),
        scores=[(name, SCORES[Score(name)]) for name in _score_names()],
        steps=inspect.signature(GradientRatio).parameters["steps"].default,
        unmarked=lambda e: {True: "count", False: "do not count", None: ""}[e.counts_unmarked],
        **{f.__name__: f for f in (authors, details, explained_by, marks)},
    )
    return text.rstrip() + "\n"


def _choices(methods: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Situations, and the methods that fit: those that do something with these marks alone."""
    methods = [e for e in methods if e.name not in UNADVISED]
    positive, negative = (
        [e.name for e in methods if sign in e.uses and set(e.needs) <= {sign}] for sign in SIGNS
    )
    both = [e.name for e in methods if all(sign in e.uses for sign in SIGNS) and "else" not in e.uses]
    partial = [e.name for e in methods if e.name in positive and e.counts_unmarked is False]
    completing = [n for n, info in METHODS.items() if info.changes == "annotations" or "complete" in info.sum]
    layers = [e.name for e in methods if e.at_a_layer]
    return [
        ("positive marks: where the evidence is", positive),
        ("negative marks alone: where it must not be", negative),
        ("both, and both shall count in every image", both),
        ("positive marks on a part of the evidence: points, scribbles", completing + partial),
        ("positive marks in some of the images, or on some of the objects in them", completing),
        ("a large network, of which the last stage learns (`--train last-stage`)", layers),
        ("no annotations", ["baseline"]),
    ]


def _same_as(entry: Entry, methods: Sequence[Entry]) -> str:
    """The first method with the same equation and notes, if that is another one."""
    if not entry.equation:
        return ""
    said = (entry.equation, entry.notes)
    first = next(e.name for e in methods if (e.equation, e.notes) == said)
    return first if first != entry.name else ""


def _score_names() -> list[str]:
    return [name for name in get_args(get_type_hints(TrainConfig)["score"]) if name != "auto"]


def _code(name: str) -> str:
    return f"`{name}`" if name else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(entry: Entry) -> str:
    text = entry.summary[:1].upper() + entry.summary[1:]
    return f"{text} ({entry.paper})." if entry.paper else f"{text}."
