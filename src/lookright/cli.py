"""The command line: options in, messages out. What it does lies elsewhere, and is imported when asked for."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_type_hints

import jsonargparse
from jsonargparse import ActionYesNo, Namespace

from lookright.config import DataConfig, TrainConfig, option_name
from lookright.errors import LookrightError, LookrightWarning

C = TypeVar("C", bound=DataConfig)
DEVICES = Literal["auto", "cpu", "cuda", "mps"]

SECTIONS = {
    "data": "What to read",
    "out": "What to write",
    "method": "How explanations are supervised",
    "backbone": "The network",
    "epochs": "The training",
    "seed": "The machine",
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
        text = re.sub(r"\n*note: extra positionals[^\n]*", "", text)
        return re.sub(r"(usage: .*?) \[\w+( \[\w+)*\]+\n", r"\1\n", text, count=1)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line and leave."""
        fail(_one_line(message))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 2 on a user's mistake and 130 on an interrupt."""
    _quiet_logging()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser()
    if not argv:
        parser.print_help()
        return
    if argv[0] in COMMANDS:
        _refuse_unknown(make_command(argv[0]), argv[1:])
    options = parser.parse_args(argv)
    command: str = options.subcommand
    chosen = options[command]
    chosen.command_line = shlex.join(["lookright", *argv])
    try:
        COMMANDS[command][2](chosen)
    except LookrightError as error:
        fail(str(error))
    except KeyboardInterrupt:
        _say_interrupted(command, chosen)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def make_parser() -> Parser:
    """Make the parser of all commands."""
    # DATA is the first option of its commands, so that it can be given bare, or in YAML as `data`.
    jsonargparse.set_parsing_settings(parse_optionals_as_positionals=True)
    parser = Parser(
        prog="lookright",
        usage="lookright COMMAND [options]",
        description="Train image classifiers to look at the right place.",
        epilog="Start with: lookright demo. Then: lookright check DATA, lookright train DATA --out RUN, "
        "lookright evaluate RUN, lookright report RUN --out report.html. Each command has its own --help.",
    )
    from lookright import __version__

    parser.add_argument("--version", action="version", version=f"lookright {__version__}")
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, (help_text, _, _) in COMMANDS.items():
        commands.add_subcommand(name, make_command(name), help=help_text)
    return parser


def make_command(name: str) -> Parser:
    """Make the parser of one command."""
    help_text, add_arguments, _ = COMMANDS[name]
    parser = Parser(description=help_text[0].upper() + help_text[1:] + ".")
    add_arguments(parser)
    return parser


# The commands: their arguments, and what they do


def _train_arguments(parser: Parser) -> None:
    parser.usage = "lookright train DATA --out RUN [--method METHOD] [options]"
    parser.add_argument("--config", action="config", help="a YAML file of these options")
    _add_options(parser, TrainConfig)


def _train(options: Namespace) -> None:
    from lookright.engine.trainer import train

    config = _config(TrainConfig, options)
    folder = train(config, options.command_line)
    facts = folder.facts()
    say(
        f"{folder.path}: {facts['epochs_done']} epochs in {facts['seconds']:.0f} s, best epoch "
        f"{facts['best_epoch']}. Next: lookright evaluate {folder.path}"
    )


def _evaluate_arguments(parser: Parser) -> None:
    parser.usage = "lookright evaluate RUN [--data DATA --out FOLDER] [--split SPLIT] [options]"
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--split", type=str, default="test", help="which images, as split.csv names them")
    parser.add_argument("--out", type=Path | None, default=None, help="folder to write (default: in RUN)")
    _add_device(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time")
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    _add_options(parser, DataConfig, leave_out=("image_size", "annotated_per_class", "train_per_class"))


def _evaluate(options: Namespace) -> None:
    import json

    from lookright.engine.evaluate import evaluate

    data = _config(DataConfig, options)
    folder = evaluate(
        options.run,
        split=options.split,
        data=data if data != DataConfig() else None,
        out=options.out,
        batch_size=options.batch_size,
        device=options.device,
        workers=options.workers,
    )
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for name in (
        "accuracy",
        "balanced_accuracy",
        "auroc",
        "iou",
        "precision",
        "recall",
        "f1",
        "epg",
        "pointing_game",
    ):
        value, n = figures[name]["value"], figures[name]["n"]
        say(f"{name:<18} {'-' if value is None else format(value, '.3f'):>6}   ({n} images)")
    say(f"written to {folder}")


def _explain_arguments(parser: Parser) -> None:
    parser.usage = "lookright explain RUN IMAGE... --out DIR"
    _add_run_and_images(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the overlay PNGs and the maps")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same name")


def _explain(options: Namespace) -> None:
    from lookright.engine.images import explain_images
    from lookright.report.explanations import write_explanation

    for explained in explain_images(options.run, options.images, device=options.device):
        written = write_explanation(explained, options.out, overwrite=options.overwrite)
        probability = explained.probabilities[explained.predicted]
        say(f"{explained.path}: {explained.predicted} ({probability:.2f}) -> {written}")


def _predict_arguments(parser: Parser) -> None:
    parser.usage = "lookright predict RUN IMAGE... [--out FILE.csv]"
    _add_run_and_images(parser)
    parser.add_argument("--out", type=Path | None, default=None, help="csv to write (default: print it)")
    parser.add_argument("--overwrite", action="store_true", help="replace the csv")


def _predict(options: Namespace) -> None:
    from lookright.engine.images import explain_images, predictions_csv
    from lookright.files import replacing

    if options.out is not None and options.out.exists() and not options.overwrite:
        fail(f"out: {options.out} exists; choose another, or --overwrite it")
    text = predictions_csv(list(explain_images(options.run, options.images, device=options.device)))
    if options.out is None:
        say(text.rstrip())
        return
    with replacing(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"written to {options.out}")


def _export_arguments(parser: Parser) -> None:
    parser.usage = "lookright export RUN [--out DIR]"
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", type=Path | None, default=None, help="folder to write (default: RUN/export)")
    parser.add_argument(
        "--onnx", action=ActionYesNo(no_prefix="no-"), default=True, help="write ONNX as well"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier export")


def _export(options: Namespace) -> None:
    from lookright.engine.export import export_run

    for file in export_run(options.run, options.out, onnx=options.onnx, overwrite=options.overwrite):
        say(f"written {file}")


def _report_arguments(parser: Parser) -> None:
    parser.usage = "lookright report RUN [RUN ...] --out report.html"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folders")
    parser.add_argument("--out", type=Path, required=True, help="html file to write")
    parser.add_argument("--markdown", type=Path | None, default=None, help="also write the table as Markdown")
    parser.add_argument("--gallery", type=int, default=48, help="how many images to show")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")


def _report(options: Namespace) -> None:
    from lookright.report import build_report, write_markdown

    path = build_report(options.runs, options.out, gallery=options.gallery, overwrite=options.overwrite)
    say(f"written to {path}")
    if options.markdown is not None:
        say(f"written to {write_markdown(options.runs, options.markdown, overwrite=options.overwrite)}")


def _methods_arguments(parser: Parser) -> None:
    parser.usage = "lookright methods"


def _methods(options: Namespace) -> None:
    from lookright.losses import METHODS

    for info in METHODS.values():
        say(f"{info.name:<10} {info.summary}")
        if info.paper != "-":
            say(
                f"{'':<10} {info.paper}; uses {info.uses} marks"
                + ("" if info.options == "-" else f"; {info.options}")
            )


def _backbones_arguments(parser: Parser) -> None:
    parser.usage = "lookright backbones [NAME]"
    parser.add_argument(
        "name", type=str, nargs="?", default="", metavar="NAME", help="part of a name, or one exact name"
    )


def _backbones(options: Namespace) -> None:
    from lookright.models import describe_backbone, format_backbone, format_backbones, list_backbones

    found = list_backbones(options.name or "")
    if any(backbone.name == options.name for backbone in found):
        say(format_backbone(describe_backbone(options.name)))
    else:
        say(format_backbones(found, options.name or ""))


def _check_arguments(parser: Parser) -> None:
    parser.usage = "lookright check DATA [--annotations PATH --format FORMAT] [options]"
    _add_options(parser, DataConfig, leave_out=("annotated_per_class", "train_per_class"))


def _check(options: Namespace) -> None:
    from lookright.data import check, format_report

    report = check(_config(DataConfig, options))
    say(format_report(report))
    if any(problem.fatal for problem in report.problems):
        sys.exit(2)


def _demo_arguments(parser: Parser) -> None:
    parser.usage = "lookright demo [--out DIR]"
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write")
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds")
    parser.add_argument("--short", action="store_true", help="one seed and few epochs: does everything run?")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo in that folder")


def _demo(options: Namespace) -> None:
    from lookright.demo import run_demo

    run_demo(options.out, seeds=options.seeds, short=options.short, overwrite=options.overwrite, say=say)


COMMANDS: dict[str, tuple[str, Callable[[Parser], None], Callable[[Namespace], None]]] = {
    "demo": ("see a shortcut being unlearned, on digits that need no download", _demo_arguments, _demo),
    "check": ("say what is in a data folder and what is wrong with it", _check_arguments, _check),
    "train": ("train a classifier to look at the right place", _train_arguments, _train),
    "evaluate": ("measure performance and reasonability of a run", _evaluate_arguments, _evaluate),
    "report": ("compare evaluated runs in one HTML file", _report_arguments, _report),
    "explain": ("show where a run looks in photos", _explain_arguments, _explain),
    "predict": ("write classes and probabilities of photos as csv", _predict_arguments, _predict),
    "export": ("write plain weights and ONNX that need no lookright", _export_arguments, _export),
    "methods": ("list the ways to supervise explanations", _methods_arguments, _methods),
    "backbones": ("list networks; with an exact NAME, its layers", _backbones_arguments, _backbones),
}
"""name -> (help, its arguments, what it does)"""


# Parts that commands share


def say(text: str) -> None:
    """Print to standard output."""
    print(text)


def fail(message: str) -> NoReturn:
    """Print one clear line to standard error and exit with 2."""
    line = " ".join(part.strip() for part in message.splitlines() if part.strip())
    print(f"lookright: {line}", file=sys.stderr)
    sys.exit(2)


def _add_run_and_images(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="photo files")
    _add_device(parser)


def _add_device(parser: Parser) -> None:
    parser.add_argument("--device", type=DEVICES, default="auto", help="where to compute")


def _add_options(parser: Parser, config: type, leave_out: Sequence[str] = ()) -> None:
    """Add an option for every field of a configuration class."""
    hints = get_type_hints(config)
    group: Any = parser
    for f in fields(config):
        if f.name in SECTIONS:
            group = parser.add_argument_group(SECTIONS[f.name])
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


def _config(config: type[C], options: Namespace) -> C:
    given = {f.name: options.get(option_name(f.name), getattr(config(), f.name)) for f in fields(config)}
    return config(**given)


def _refuse_unknown(parser: Parser, arguments: Sequence[str]) -> None:
    """Say so where an option is mistyped, before it is taken for a value."""
    known = {flag for flag in parser._option_string_actions if flag.startswith("--")}
    for text in arguments:
        flag = text.split("=")[0]
        if flag.startswith("--") and flag not in known:
            close = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see --help"
            fail(f"unknown option {flag}; {hint}")


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
    text = re.sub(r"arguments are required: \w+\.", "arguments are required: ", text)
    for kind, plain in (("int", "a whole number"), ("float", "a number")):
        text = re.sub(rf"Expected a <class '{kind}'>\. Got value: (.*)", rf"got \1, need {plain}", text)
    return re.sub(r"Expected a typing\.Literal\[(.*?)\]\. Got value: (.*)", r"got \2, choose one of \1", text)


def _say_interrupted(command: str, options: Namespace) -> None:
    from lookright.engine.run_folder import RunFolder

    how = ""
    if command == "train" and options.out is not None and RunFolder(options.out).config_file.exists():
        how = f"; continue with: {RunFolder(options.out).resume_command}"
    print(f"\nlookright: interrupted{how}", file=sys.stderr)


def _quiet_logging() -> None:
    """Show our own messages plainly, and other libraries' only when they matter."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("lookright").setLevel(logging.INFO)
    for name in ("lightning_fabric", "lightning.fabric", "timm", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        print(f"lookright: warning: {message}", file=sys.stderr)

    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("always", category=LookrightWarning)
    warnings.showwarning = show
