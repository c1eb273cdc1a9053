"""Reads our docstrings: a summary, the equation, paragraphs, then sections such as Args."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"(Args|Returns|Raises|Shapes?|Examples?|Attributes|Notes?):$")
_ARGUMENT = re.compile(r"    (\w+)(?: \([^)]*\))?:\s*(.*)")
_INDENT = "    "


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts; every part is empty where there is none of it."""

    summary: str = ""
    """the first paragraph, on one line"""
    equation: str = ""
    """the first indented block behind it"""
    notes: str = ""
    """the paragraphs behind that, with their line breaks"""
    arguments: dict[str, str] = field(default_factory=dict)
    """name -> text on one line"""


def read_docstring(text: str | None) -> Docstring:
    r"""Take a docstring apart.

    Example:
        >>> read = read_docstring('''One line.
        ...
        ...         L = mean M
        ...
        ...     More of it.
        ...
        ...     Args:
        ...         power: of what,
        ...             and why
        ...     ''')
        >>> read.summary, read.equation, read.notes, read.arguments
        ('One line.', 'L = mean M', 'More of it.', {'power': 'of what, and why'})
    """
    lines = inspect.cleandoc(text or "").splitlines()
    end = next((i for i, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    head = next((i for i, line in enumerate(lines[:end]) if not line.strip()), end)
    body = lines[head:end]
    start = next((i for i, line in enumerate(body) if line.startswith(_INDENT)), len(body))
    stop = next(
        (i for i, line in enumerate(body) if i > start and line.strip() and not line.startswith(_INDENT)),
        len(body),
    )
    equation = inspect.cleandoc("\n" + "\n".join(body[start:stop]))
    notes = "\n".join(body[:start] + body[stop:]).strip()
    return Docstring(" ".join(lines[:head]), equation, notes, _arguments(lines[end:]))


def _arguments(sections: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    section, name = "", ""
    for line in sections:
        if match := _SECTION.match(line):
            section = match.group(1)
        elif section == "Args" and (match := _ARGUMENT.fullmatch(line)):
            name, found[match.group(1)] = match.groups()
        elif section == "Args" and name and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
