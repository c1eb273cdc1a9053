"""Methods and explainers as text for the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from lookright.describe.facts import Entry, Option, describe_explainer, describe_method
from lookright.explainers import EXPLAINERS
from lookright.losses import METHODS

WIDTH = 100
_FOOT = """\
marks        + where the evidence is, - where it must not be; '-, else +': + in an image without -
derivatives  those of the network that a loss on the explanation takes; --no-second-order: first

'lookright methods NAME' says everything about one; NAME may be your own: module.Class.
With options: --method "res-g(slack=0)". Several at once: --method "res-g + 0.3*energy"."""


_UNMARKED = {
    True: "counts, by definition: the loss moves with cells that nobody marked",
    False: "does not count: the loss does not move with cells that nobody marked",
}
_POOLS = "pooled: what an image contributes depends on the other images of the batch"
_ORDERS = {
    "first": "first order",
    "second": "second order; first with --no-second-order, as much published code has it",
}


def format_overview() -> str:
    """Write the tables of methods and explainers, at most 100 columns wide."""
    methods = [describe_method(info) for info in METHODS.values()]
    explainers = [describe_explainer(name, kind) for name, kind in EXPLAINERS.items()]
    return "\n".join(
        [
            *_table(
                ("method", "what it does", "explanation", "marks"),
                [(e.name, e.summary, explained_by(e), marks(e.uses)) for e in methods],
                wide=(1,),
            ),
            "",
            *_table(
                ("explainer", "paper", "derivatives", "cost beside the forward pass"),
                [(e.name, authors(e.paper), e.order, e.cost) for e in explainers],
                wide=(1, 3),
            ),
            "",
            _FOOT,
        ]
    )


def format_entry(entry: Entry) -> str:
    """Write everything about a method or an explainer, at most 100 columns wide."""
    title = f"{entry.kind} {entry.name}" + (f": {entry.summary}" if entry.summary else "")
    lines = [*_wrapped(title), *([entry.paper] if entry.paper else [])]
    if entry.equation:
        lines += ["", *_equation(entry.equation)]
    if entry.notes:
        lines += ["", *paragraphs(entry.notes)]
    rows = [(name, text) for name, text in details(entry) if text]
    if rows:
        lines += ["", *(line for name, text in rows for line in _row(name, text, 14))]
    if entry.options:
        lines += ["", "options"]
        lines += [line for option in entry.options for line in _row(*_option(option), 24, indent=2)]
    if entry.chosen:
        lines += ["", example(entry)]
    return "\n".join(lines)


def details(entry: Entry) -> list[tuple[str, str]]:
    """Give what there is to say beside equation and options: (what, text), the text empty if nothing."""
    uses = f"{entry.uses} ({marks(entry.uses)})" if entry.uses else ""
    return [
        ("explanation", entry.explanation),
        ("marks", uses),
        ("unmarked", "" if entry.counts_unmarked is None else _UNMARKED[entry.counts_unmarked]),
        ("batch", _POOLS if entry.pools else ""),
        ("derivatives", _ORDERS.get(entry.order, "")),
        ("cost", entry.cost),
        ("differs", entry.differs),
        ("methods", f"defined on it: {', '.join(entry.used_by)}" if entry.used_by else ""),
        ("use", "" if entry.chosen else "by these methods alone; not as --explainer"),
    ]


def example(entry: Entry) -> str:
    """Write a command that uses it, with one of its options if that shows how."""
    shown = [option for option in entry.options if option.default[:1].isdigit()]
    text = f"{entry.name}({shown[0].name}={shown[0].default})" if shown else entry.name
    text = text if entry.alone else f"{text} + evidence"
    text = f'"{text}"' if set(text) & set("( ") else text
    return f"lookright train DATA --out RUN --{entry.kind} {text}"


def marks(uses: str) -> str:
    """Write the marks that a loss uses short.

    Example:
        >>> marks("negative, else positive"), marks("")
        ('-, else +', '')
    """
    return uses.replace("positive", "+").replace("negative", "-")


def explained_by(entry: Entry) -> str:
    """Name the explainer that a method is defined on."""
    return entry.explained_by or ("--explainer" if entry.explanation else "")


def authors(paper: str) -> str:
    """Leave out the name before a paper's authors.

    Example:
        >>> authors("Grad-CAM: Selvaraju et al., ICCV 2017")
        'Selvaraju et al., ICCV 2017'
    """
    name, colon, rest = paper.partition(": ")
    return rest if colon and "," not in name else paper


def paragraphs(text: str) -> list[str]:
    """Break paragraphs and bullets of a docstring into lines again."""
    lines: list[str] = []
    for block in text.split("\n\n"):
        for item in re.split(r"\n(?=\* )", block):
            lines += _wrapped(item, "  " if item.startswith("* ") else "")
        lines.append("")
    return lines[:-1]


def _option(option: Option) -> tuple[str, str]:
    name = f"{option.name}={option.default}" if option.default else f"{option.name} (needed)"
    return name, f"{option.text} [{option.flag}]" if option.flag else option.text


def _row(name: str, text: str, width: int, *, indent: int = 0) -> list[str]:
    """A name, and a text wrapped beside it; below it where the name is too long."""
    start = " " * indent + name
    lines = _wrapped(text, "", WIDTH - width)
    if len(start) >= width:
        return [start, *(" " * width + line for line in lines if line)]
    return [f"{start:{width}}{lines[0]}".rstrip(), *(" " * width + line for line in lines[1:])]


def _equation(text: str) -> list[str]:
    """An equation; formulas that stand side by side go below each other where they are too wide."""
    lines: list[str] = []
    for line in text.splitlines():
        fits = len(line) + 4 <= WIDTH
        lines += [line] if fits else re.split(r"\s{3,}", line)
    return ["    " + line for line in lines]


def _wrapped(text: str, indent: str = "", width: int = WIDTH) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, wide: Sequence[int]) -> list[str]:
    """Columns as wide as their content; the wide ones share what is left, and wrap."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) + 2 for i in range(len(head))]
    left = WIDTH - sum(width for i, width in enumerate(widths) if i not in wide)
    widths = [left // len(wide) if i in wide else width for i, width in enumerate(widths)]
    lines = []
    for row in table:
        cells = [_wrapped(cell, "", width - 2) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append("".join(f"{part:{w}}" for part, w in zip(parts, widths, strict=True)).rstrip())
        if row is head:
            lines.append("  ".join("-" * (width - 2) for width in widths))
    return lines
