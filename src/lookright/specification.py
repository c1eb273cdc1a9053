"""Reads what users write for a thing with options, and for sums of them: 'res-g + 0.3*cyborg(alpha=0.3)'."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from lookright.errors import ConfigError

SUM_EXAMPLE = "'res-g + 0.3*cyborg(alpha=0.3)'"
ONE_EXAMPLE = "'smooth-grad(samples=8, noise=0.1)'"

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[^\W\d][\w.:-]*")
_OPTION = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_CONSTANTS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Part:
    """One name with its weight in a sum and its options.

    `str` writes it in one canonical way, which reads back as an equal part.

    Example:
        >>> str(parse_sum("method", ".30*cyborg( per-image=true, kind=match )")[0])
        "0.3*cyborg(per_image=True, kind='match')"
    """

    name: str
    """a name of ours, or a dotted path to something of the user's"""
    weight: float = 1.0
    """finite, >= 0"""
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    """numbers, strings, True, False, None, and lists and tuples of these; "" names one without a name"""

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{float(self.weight)!r}*"
        options = ", ".join(f"{name}={value!r}".lstrip("=") for name, value in self.options.items())
        return f"{weight}{self.name}({options})" if options else f"{weight}{self.name}"


def parse_sum(
    argument: str, text: str, *, example: str = SUM_EXAMPLE, unnamed: bool = False
) -> tuple[Part, ...]:
    """Read a sum of names, each with a weight before it and options behind it if need be.

        sum    = part { "+" part }
        part   = [ number "*" ] name [ "(" [ option { "," option } ] ")" ]
        option = name "=" value
        value  = number | "quoted" | word | True | False | None | [value, ...] | (value, ...)

    A name or word starts with a letter or '_' and goes on with letters, digits and - _ . : An option may be
    written with '-' for '_', a constant in small letters. Nothing is evaluated.

    Args:
        argument: name of the option that the text was given for, for the message
        text: what the user wrote
        example: of such a sum, for the message
        unnamed: whether the first option may be a value without a name; it is then called ""

    Raises:
        ConfigError: the text is no such sum, a weight is negative, or a number is not finite.

    Example:
        >>> for part in parse_sum("method", "res-g + 0.3*my_module.MyLoss(power=2)"):
        ...     print(part.weight, part.name, part.options)
        1.0 res-g {}
        0.3 my_module.MyLoss {'power': 2}
    """
    reader = _Reader(argument, text, example, unnamed)
    parts = [reader.part()]
    while reader.take("+"):
        parts.append(reader.part())
    if reader.sees("*"):
        reader.fail("expected '+' or the end (a weight stands before its name)")
    reader.end("expected '+' or the end")
    return tuple(parts)


def parse_one(argument: str, text: str) -> Part:
    """Read one name with its options; no sum and no weight.

    Args:
        argument: name of the option that the text was given for, for the message
        text: what the user wrote; see `parse_sum`

    Raises:
        ConfigError: the text is no such thing.

    Example:
        >>> parse_one("explainer", "smooth-grad(samples=8, noise=0.1)").options
        {'samples': 8, 'noise': 0.1}
    """
    reader = _Reader(argument, text, ONE_EXAMPLE)
    part = Part(reader.name(), 1.0, reader.options())
    reader.end("expected the end (one name, no sum)")
    return part


class _Reader:
    """A position in a text, and the rules of the grammar that move it on."""

    def __init__(self, argument: str, text: str, example: str, unnamed: bool = False) -> None:
        self.argument = argument
        self.text = text
        self.example = example
        self.unnamed = unnamed
        self.at = 0

    def part(self) -> Part:
        weight = 1.0
        start = self.skip()
        token = self.match(_NUMBER)
        if token is not None:
            weight = float(token)
            if not (math.isfinite(weight) and weight >= 0):
                self.fail("expected a weight that is finite and not negative", start)
            if not self.take("*"):
                self.fail("expected '*' between weight and name")
        return Part(self.name(), abs(weight), self.options())  # abs: -0.0 is written 0.0

    def name(self) -> str:
        return self.match(_NAME) or self.fail("expected a name")

    def options(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if not self.take("("):
            return found
        while not self.take(")"):
            start = self.skip()
            name = self.match(_OPTION)
            if name is None or not self.take("="):
                if not self.unnamed or found:
                    self.fail("expected an option as name=value", start)
                name, self.at = "", start
            name = name.replace("-", "_")
            if name in found:
                self.fail(f"option '{name}' is there twice, the second time", start)
            found[name] = self.value()
            if self.sees("("):
                self.fail("expected ',' or ')' (a value with parentheses is put in quotes)")
            if not self.take(",") and not self.sees(")"):
                self.fail("expected ',' or ')'")
        return found

    def value(self) -> object:
        start = self.skip()
        if self.take("["):
            return self.items("]")[0]
        if self.take("("):
            items, commas = self.items(")")
            return items[0] if len(items) == 1 and not commas else tuple(items)
        if self.sees("'") or self.sees('"'):
            return self.string()
        token = self.match(_NUMBER)
        if token is not None:
            number = float(token)
            if not math.isfinite(number):
                self.fail("expected a finite number", start)
            return int(token) if token.lstrip("+-").isdigit() else number
        word = self.match(_NAME)
        if word is None:
            self.fail("expected a value (a number, a word, a quoted string, True, False, None, a list)")
        if word.lower() in ("inf", "nan"):
            self.fail("expected a finite number, or the word in quotes,", start)
        return _CONSTANTS.get(word.lower(), word)

    def items(self, close: str) -> tuple[list[object], int]:
        """Values up to the closing bracket, and how many commas there were."""
        items: list[object] = []
        commas = 0
        while not self.take(close):
            items.append(self.value())
            if self.take(","):
                commas += 1
            elif not self.sees(close):
                self.fail(f"expected ',' or '{close}'")
        return items, commas

    def string(self) -> str:
        start = self.at
        token = self.match(_STRING)
        if token is None:
            self.fail("expected a closing quote", start)
        try:
            return str(ast.literal_eval(token))
        except (SyntaxError, ValueError):  # an escape that is none, a NUL
            self.fail("expected a string as in Python", start)

    def skip(self) -> int:
        """Go over white space; give the position."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.at

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.skip())
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def sees(self, mark: str) -> bool:
        return self.text.startswith(mark, self.skip())

    def take(self, mark: str) -> bool:
        seen = self.sees(mark)
        self.at += len(mark) * seen
        return seen

    def end(self, expected: str) -> None:
        if self.skip() < len(self.text):
            self.fail(expected)

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        rest = self.text[self.skip() if at is None else at :]
        where = f"at {rest if len(rest) <= 30 else rest[:27] + '...'!r}" if rest else "at its end"
        raise ConfigError(f"{self.argument}: got {self.text!r}: {reason} {where}; for example {self.example}")
