"""`python -m lookright.bench`: measure every claim about speed; write bench.md and bench.json."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import torch

from lookright.bench.results import describe_machine, write_results
from lookright.bench.settings import ON_GPU, QUICK, Settings
from lookright.bench.suite import SECTIONS, measure
from lookright.engine.run_images import pick_device
from lookright.errors import ConfigError, DataError, LookrightError
from lookright.models.factory import is_backbone, unknown_backbone


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Write one line to standard error and leave."""
        self.exit(2, f"lookright.bench: {message}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark; exits with 2 on a user's mistake and 130 on an interrupt."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except LookrightError as error:
        parser.error(str(error))
    except KeyboardInterrupt as stop:
        parser.exit(130, f"lookright.bench: stopped; {stop or 'nothing was measured yet'}\n")


def _run(options: argparse.Namespace) -> None:
    device = pick_device(options.device)
    settings = _settings(options, device)
    out: Path = options.out
    try:  # now, not after ten minutes
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    machine = describe_machine(device)
    figures = []
    try:
        for figure in measure(settings, device, options.only or ()):
            figures.append(figure)
            sys.stderr.write(f"{figure.what}, {figure.of}: {figure.text}\n")
            write_results(out, figures, machine, asdict(settings), finished=False)
    except KeyboardInterrupt as stop:
        if figures:
            raise KeyboardInterrupt(f"what was measured is in {out / 'unfinished.md'}") from stop
        raise
    sys.stdout.write(write_results(out, figures, machine, asdict(settings)))


def _settings(options: argparse.Namespace, device: torch.device) -> Settings:
    settings = QUICK if options.quick else ON_GPU if device.type == "cuda" else Settings()
    counts = [("batch_size", size) for size in options.batch_size or ()]
    if options.rounds is not None:
        counts.append(("rounds", options.rounds))
    for name, value in counts:
        if value < 1:
            raise ConfigError(f"{name}: got {value}, need 1 or more")
    for backbone in options.backbones or ():
        if not is_backbone(backbone):
            raise unknown_backbone(backbone)
    if options.backbones:
        settings = replace(settings, backbones=tuple(options.backbones))
    if options.batch_size:
        settings = replace(settings, batch_sizes=tuple(options.batch_size))
    if options.precision:
        settings = replace(settings, precision=options.precision)
    if options.rounds:
        settings = replace(
            settings,
            rounds=options.rounds,
            few_rounds=min(options.rounds, settings.few_rounds),
            memory_rounds=min(options.rounds, settings.memory_rounds),
        )
    return settings


def make_parser() -> Parser:
    """Make the parser of the command line."""
    usual = Settings()
    parser = Parser(prog="python -m lookright.bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder to write (default: bench)")
    parser.add_argument(
        "--backbones",
        nargs="+",
        metavar="NAME",
        help=f"default: {_words(usual.backbones)}; on a GPU {_words(ON_GPU.backbones)}",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=SECTIONS, help=f"sections: {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        nargs="+",
        metavar="N",
        help=f"images per step (default: {_words(usual.batch_sizes)}; on a GPU {_words(ON_GPU.batch_sizes)})",
    )
    parser.add_argument(
        "--precision", choices=("32", "bf16"), help="of training (default: 32; on a GPU bf16)"
    )
    parser.add_argument("--rounds", type=int, help=f"measurements of each (default: {usual.rounds})")
    parser.add_argument("--quick", action="store_true", help="see that it runs: a small network, one round")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: auto"
    )
    return parser


def _words(values: Iterable[object]) -> str:
    return " ".join(str(value) for value in values)


if __name__ == "__main__":
    main()
