"""The mechanics of the command line: options from configuration classes, help, and one-line errors."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal, NoReturn, TypeVar, get_type_hints

import jsonargparse
from jsonargparse import ActionYesNo, Namespace

from lookright.config import DataConfig, option_name

C = TypeVar("C", bound=DataConfig)

DEVICES = Literal["auto", "cpu", "cuda", "mps"]

SECTIONS = {
    "data": "What to read",
    "out": "What to write",
    "method": "How explanations are supervised",
    "backbone": "The network",
    "epochs": "The training",
    "seed": "The machine",
    "correlation": "The data set",
    "background": "The data set",
    "segmentations": "The data set",
    "images": "The data set",
}
"""First option of each section of the help -> its title"""


class Help(jsonargparse.DefaultHelpFormatter):
    """Help without the types that the choices and the text already tell."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        plain = action.default in (None, argparse.SUPPRESS, False, []) or "(default" in text
        return text if plain or not action.option_strings else f"{text} (default: %(default)s)"


class Parser(jsonargparse.ArgumentParser):
    """A parser that says what is wrong in one line, and exits with 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=Help, **kwargs)

    def format_help(self, formatter: argparse.HelpFormatter | None = None) -> str:
        """Give the help without jsonargparse's note on bare options: the usage line says what may be bare."""
        text: str = super().format_help() if formatter is None else super().format_help(formatter)
        text, noted = re.subn(r"\n*note: extra positionals[^\n]*", "", text)
        if not noted:
            return text
        bare = r"\s+\[(?!options\])\w+(?:\s+\[\w+)*\]+\n"
        return re.sub(rf"(usage: .*?){bare}", r"\1\n", text, count=1, flags=re.DOTALL)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line and leave."""
        fail(_one_line(message))


def add_config(parser: Parser) -> None:
    """Add the option that reads the others from a file."""
    parser.add_argument("--config", action="config", help="a YAML file of these options")


def add_options(
    parser: Parser, config: type, leave_out: Sequence[str] = (), title: str | None = None
) -> None:
    """Add an option for every field of a configuration class; `title` instead of those of the sections."""
    hints = get_type_hints(config)
    group: Any = parser
    for f in fields(config):
        if f.name in SECTIONS:
            group = parser.add_argument_group(title or SECTIONS[f.name])
        if f.name in leave_out:
            continue
        flag = "--" + option_name(f.name).replace("_", "-")
        default = getattr(config(), f.name)
        kwargs: dict[str, Any] = {"default": default, "help": f.metadata["help"]}
        if hints[f.name] is bool:
            kwargs["action"] = ActionYesNo(no_prefix="no-") if default else "store_true"
        elif hints[f.name] == list[str]:
            kwargs |= {"type": str, "nargs": "+"}
        else:
            kwargs["type"] = hints[f.name]
        group.add_argument(flag, **kwargs)


def add_device(parser: Parser, help: str = "where to compute") -> None:
    """Add the option that says where to compute."""
    parser.add_argument("--device", type=DEVICES, default="auto", help=help)


def read_config(config: type[C], options: Namespace) -> C:
    """Make a configuration of what was given, with defaults for the rest."""
    given = {f.name: options.get(option_name(f.name), getattr(config(), f.name)) for f in fields(config)}
    return config(**given)


def refuse_unknown(parser: Parser, arguments: Sequence[str]) -> None:
    """Say so where an option is mistyped, before it is taken for a value."""
    nested = parser._subcommands_action
    if nested is not None and arguments and not arguments[0].startswith("-"):
        if arguments[0] in nested.choices:  # otherwise the name is what is mistyped
            refuse_unknown(nested.choices[arguments[0]], arguments[1:])
        return
    known = {flag for flag in parser._option_string_actions if flag.startswith("--")}
    for text in arguments:
        flag = text.split("=")[0]
        if flag.startswith("--") and flag not in known:
            close = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see --help"
            fail(f"unknown option {flag}; {hint}")


def say(text: str) -> None:
    """Print to standard output."""
    print(text)


def fail(message: str) -> NoReturn:
    """Print one clear line to standard error and exit with 2. Of several processes the first one prints."""
    if is_first_process():
        print_error(message)
    sys.exit(2)


def print_error(message: str) -> None:
    """Print one clear line to standard error."""
    line = " ".join(part.strip() for part in message.splitlines() if part.strip())
    print(f"lookright: {line}", file=sys.stderr)


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that torchrun or srun started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _one_line(message: str) -> str:
    """Make jsonargparse's message of several lines one, without its tips."""
    lines = [line.strip() for line in message.splitlines()]
    kept = [
        line
        for line in lines
        if line and not line.startswith(("tip:", "note:", "usage:", "Subtypes", "Errors", "- "))
    ]
    text = " ".join(kept)
    text = re.sub(r'Parser key "([^"]+)":', r"\1:", text)
    if "arguments are required: " in text:  # jsonargparse names them with their command
        said, required, names = text.partition("required: ")
        text = said + required + re.sub(r"\b[a-z]+[.]", "", names)
    text = re.sub(
        r'expected "([\w.]+)\.subcommand" to be one of \{(.*)\}, but it was not provided\.',
        lambda found: f"{found[1].replace('.', ' ')}: say what, one of {found[2].replace(',', ', ')}",
        text,
    )
    for kind, plain in (("int", "a whole number"), ("float", "a number")):
        text = re.sub(rf"Expected a <class '{kind}'>\. Got value: (.*)", rf"got \1, need {plain}", text)
    return re.sub(r"Expected a typing\.Literal\[(.*?)\]\. Got value: (.*)", r"got \2, choose one of \1", text)
