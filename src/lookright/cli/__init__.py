"""The command line: options in, messages out."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import warnings
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import jsonargparse
from jsonargparse import Namespace

from lookright.cli.commands import COMMANDS
from lookright.cli.parser import Parser, add_config, is_first_process, print_error, refuse_unknown, say
from lookright.errors import LookrightError, LookrightWarning, ToldElsewhereError

_WITH_COMMANDS = ("data",)
"""Commands whose options belong to commands of their own; these are added after the command itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 2 on a user's mistake and 130 on an interrupt."""
    _quiet_logging()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(argv[:1])
    if not argv:
        parser.print_help()
        return
    if argv[0] in COMMANDS:
        refuse_unknown(parser, argv)
    options = parser.parse_args(argv)
    command: str = options.subcommand
    chosen = options[command]
    chosen.command_line = shlex.join(["lookright", *argv])
    try:
        COMMANDS[command][2](chosen)
    except ToldElsewhereError:
        sys.exit(2)
    except LookrightError as error:
        print_error(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        if is_first_process():
            _say_interrupted(command, chosen)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def make_parser(commands: Collection[str] = tuple(COMMANDS)) -> Parser:
    """Make the parser of the command line.

    Args:
        commands: those whose options it knows; the others have a name and a line of help, which takes a
            fraction of the time
    """
    # DATA is the first option of its commands, so that it can be given bare, or in YAML as `data`.
    jsonargparse.set_parsing_settings(parse_optionals_as_positionals=True)
    parser = Parser(
        prog="lookright",
        usage="lookright COMMAND [options]",
        description="Train image classifiers to look at the right place.",
        epilog="Start with: lookright demo. Then: lookright check DATA, lookright train DATA --out RUN, "
        "lookright evaluate RUN, lookright report RUN --out report.html. Each command has its own --help.",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version and exit")
    subcommands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, (help_text, add_arguments, _) in COMMANDS.items():
        command = Parser(description=help_text[0].upper() + help_text[1:] + ".")
        subcommands.add_subcommand(name, command, help=help_text)
        if name in commands:
            if name not in _WITH_COMMANDS:
                add_config(command)
            add_arguments(command)
    return parser


class _ShowVersion(argparse.Action):
    """As argparse's own, but the version is looked up only when it is asked for."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        from lookright import __version__

        say(f"lookright {__version__}")
        sys.exit(0)


def _say_interrupted(command: str, options: Namespace) -> None:
    from lookright.engine.run_folder import RunFolder

    how = ""
    if command == "train" and options.out is not None and RunFolder(options.out).config_file.exists():
        how = f"; continue with: {RunFolder(options.out).resume_command}"
    elif command == "bench":
        how = "; the same command goes on where it stopped"
    print(f"\nlookright: interrupted{how}", file=sys.stderr)


def _quiet_logging() -> None:
    """Show our own messages plainly, and other libraries' only when they matter."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("lookright").setLevel(logging.INFO if is_first_process() else logging.ERROR)
    # Fabric sets its own level when it is imported, but not those of the modules that talk.
    fabric = "lightning_fabric.utilities"
    for name in (f"{fabric}.distributed", f"{fabric}.rank_zero", "timm", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if is_first_process():
            print(f"lookright: warning: {message}", file=sys.stderr)

    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("always", category=LookrightWarning)
    warnings.showwarning = show
