"""What was measured, beside what was to be reached: as a table and as json."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lookright
from lookright.bench.timing import Measurements, Spread
from lookright.files import replacing


@dataclass(frozen=True)
class Target:
    """A bound that a figure should keep.

    Example:
        >>> target = Target(1.05, at_most=True)
        >>> str(target), target.met(1.02), target.met(1.051)
        ('≤ 1.05', True, False)
    """

    bound: float
    at_most: bool
    unit: str = ""

    def met(self, value: float) -> bool:
        """Whether a figure keeps the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}{self.unit and ' ' + self.unit}"


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    what: str
    of: str
    """backbone or size"""
    unit: str
    """of the measurements"""
    measurements: Measurements
    """name -> one number per round; empty where this machine cannot measure it"""
    over: tuple[str, str] | None = None
    """numerator and denominator, if the figure is a ratio of two of the measurements"""
    target: Target | None = None
    otherwise: str = "not measured here"
    """what the table says where there are no measurements"""

    @property
    def spread(self) -> Spread | None:
        """Median and quartiles over the rounds; None where nothing was measured.

        Example:
            >>> seconds = {"slow": [2.0, 4.0, 9.0], "quick": [1.0, 2.0, 3.0]}
            >>> Figure("slow / quick", "x", "s", seconds, over=("slow", "quick")).spread
            Spread(low=2.0, median=2.0, high=2.5)
        """
        if not self.measurements:
            return None
        if self.over is None:
            (values,) = self.measurements.values()
            return Spread.of(values)
        numerator, denominator = (self.measurements[name] for name in self.over)
        return Spread.of([a / b for a, b in zip(numerator, denominator, strict=True)])

    @property
    def verdict(self) -> str:
        """Whether the target was reached: "met", "**missed**", or nothing to say."""
        if self.spread is None or self.target is None:
            return ""
        return "met" if self.target.met(self.spread.median) else "**missed**"

    @property
    def text(self) -> str:
        """Median, and quartiles in brackets.

        Example:
            >>> Figure("threshold", "100 cells", "s", {"ours": [0.1, 0.2, 0.3]}).text
            '0.2 s (0.15 to 0.25)'
        """
        if self.spread is None:
            return self.otherwise
        low, median, high = (_significant(value) for value in self.spread)
        unit = f" {self.unit}" if self.over is None else ""
        return f"{median}{unit} ({low} to {high})"

    def row(self) -> str:
        """Give the row of the Markdown table."""
        rounds = max((len(values) for values in self.measurements.values()), default=0)
        behind = ""
        if self.over and self.measurements:
            medians = [_significant(Spread.of(self.measurements[name]).median) for name in self.over]
            behind = f"{' / '.join(medians)} {self.unit}"
        target = "" if self.target is None else str(self.target)
        cells = [self.what, self.of, self.text, str(rounds), behind, target, self.verdict]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        """Give everything for the json file, each round included."""
        return {
            "what": self.what,
            "of": self.of,
            "figure": None if self.spread is None else self.spread._asdict(),
            "target": None if self.target is None else str(self.target),
            "otherwise": self.otherwise if self.spread is None else None,
            "met": None if self.spread is None or self.target is None else self.verdict == "met",
            "over": self.over,
            "unit": self.unit,
            "measurements": self.measurements,
        }


def describe_machine(device: torch.device) -> dict[str, str | int | float]:
    """Say where and when the figures were measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "unknown",
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lookright": lookright.__version__,
    }


def format_table(
    figures: Sequence[Figure], machine: Mapping[str, str | int | float], settings: Mapping[str, Any]
) -> str:
    """Lay the figures out in Markdown, with the machine below."""
    trial = "**A trial (--quick): its figures say nothing.** " if settings["trial"] else ""
    side = settings["image_size"]
    sizes = " or ".join(str(size) for size in settings["batch_sizes"])
    lines = [
        f"{trial}Batches of {sizes} images of {side} x {side} pixels, training in {settings['precision']}"
        f"{' bit' if settings['precision'] == '32' else ''}. Medians over the rounds, quartiles in brackets.",
        "",
        "| comparison | of | figure | rounds | medians behind it | target | |",
        "|---|---|---|---|---|---|---|",
        *(figure.row() for figure in figures),
        "",
        f"Measured {machine['date']} on {machine['cpu']}, {machine['cores']} core(s), device "
        f"{machine['device']}, {machine['threads']} thread(s), load of the machine before {machine['load']}; "
        f"torch {machine['torch']}, Python {machine['python']}, lookright {machine['lookright']}.",
    ]
    return "\n".join(lines) + "\n"


def write_results(
    folder: Path,
    figures: Sequence[Figure],
    machine: Mapping[str, str | int | float],
    settings: Mapping[str, Any],
    *,
    finished: bool = True,
) -> str:
    """Write bench.json and bench.md; of a benchmark that goes on, unfinished.json and unfinished.md.

    Args:
        folder: where they go; files of an earlier run are replaced
        figures: the rows
        machine: of `describe_machine`
        settings: batch size, rounds and the like
        finished: whether these are all rows; what was written of fewer is removed then

    Returns:
        the text of the table

    Raises:
        DataError: the folder cannot be written.
    """
    whole = {
        "machine": dict(machine),
        "settings": dict(settings),
        "figures": [figure.as_json() for figure in figures],
    }
    table = format_table(figures, machine, settings)
    for ending, text in (("json", json.dumps(whole, indent=2) + "\n"), ("md", table)):
        unfinished = folder / f"unfinished.{ending}"
        with replacing(folder / f"bench.{ending}" if finished else unfinished) as temporary:
            temporary.write_text(text, encoding="utf-8")
        if finished:
            unfinished.unlink(missing_ok=True)
    return table


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _significant(value: float) -> str:
    """Four significant digits: few enough to read, too many for a figure to round onto its target unseen."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
