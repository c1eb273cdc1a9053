"""From a grid to its runs: their options, their folders, and which hyperparameters they get."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lookright.config import INCIDENTAL, TrainConfig
from lookright.data.corrupt import parse_corruption
from lookright.engine.faithfulness import FaithfulnessOptions
from lookright.engine.option_check import check_options
from lookright.engine.run_folder import from_options, to_options
from lookright.errors import ConfigError
from lookright.evidence.grid import Grid
from lookright.evidence.made import ingredients
from lookright.evidence.reading import Options, expand
from lookright.evidence.table import Table, number
from lookright.losses import parse_method, spell_out

PATHS = ("data", "annotations", "from", "cache_dir")
_KIND = (
    *("data", "method", "backbone", "train", "epochs", "image_size", "batch_size", "train_per_class"),
    *("explainer", "gradient_at", "cache_features", "compile", "precision", "accelerator"),
)
"""options that say how long a run takes"""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a grid."""

    grid: Grid
    stage: Literal["choose", "final"]
    cell: Mapping[str, str]
    """axis -> label"""
    seed: int
    chosen: Options
    """hyperparameters"""
    options: Options
    """all that are given, by their names in YAML, paths as the grid has them"""

    @property
    def splits(self) -> tuple[str, ...]:
        """What it is evaluated on. Hyperparameters never see a test image."""
        return ("val",) if self.stage == "choose" else self.grid.splits

    @property
    def faithfulness(self) -> FaithfulnessOptions | None:
        """How test images are changed."""
        return None if self.stage == "choose" else self.grid.faithfulness

    @property
    def label(self) -> str:
        """What tells it apart from the other runs, to be shown."""
        chosen = [f"{name} {value}" for name, value in self.chosen.items()] if self.stage == "choose" else []
        return ", ".join([" ".join(self.cell.values()), *chosen, f"seed {self.seed}"])

    @cached_property
    def _as_config(self) -> TrainConfig:
        return _config(self.options)

    @cached_property
    def given(self) -> dict[str, Any]:
        """Options that are not as they are by default, and change results."""
        plain = to_options(TrainConfig())
        options = to_options(self._as_config)
        return {k: v for k, v in options.items() if v != plain[k] and k not in INCIDENTAL}

    @cached_property
    def fingerprint(self) -> str:
        """Tells runs apart, on every machine alike."""
        made = ingredients(str(self.options.get("data")), self.grid.prepare)
        changed = self.faithfulness and asdict(self.faithfulness)
        meant = spell_out(self._as_config)  # rows of what auto stood for before are of another run
        given = self.given if meant == self._as_config.method else self.given | {"method": meant}
        content = [self.stage, given, made, self.splits, changed, self.grid.precision_outside]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Name of the run folder."""
        label = re.sub(r"[^\w.]+", "-", "-".join(self.cell.values())).strip("-")[:80]
        stage = "choose-" if self.stage == "choose" else ""
        return f"{stage}{label}-{self.seed}-{self.fingerprint[:8]}"

    @property
    def kind(self) -> tuple[str, ...]:
        """Runs of one kind take about as long."""
        return tuple(str(self.options.get(name)) for name in _KIND)

    def config(self, out: Path) -> TrainConfig:
        """The options of the run.

        Args:
            out: folder of the experiment

        Raises:
            ConfigError: a value of the wrong kind, or a path with a variable that is not set.
        """
        options = dict(self.options)
        for name in PATHS:
            if options.get(name) is not None:
                text = str(options[name])
                made = name == "data" and text in self.grid.prepare
                options[name] = str(out / "data" / text) if made else expand(name, text)
        return _config(options | {"out": str(out / "runs" / self.name)})


def _config(options: Options) -> TrainConfig:
    try:
        return from_options(options)
    except TypeError as error:
        raise ConfigError(f"{error}: not a value of that option") from error


def choose_runs(grid: Grid) -> list[PlannedRun]:
    """The runs that hyperparameters are chosen by."""
    if grid.choose is None:
        return []
    return [
        _run(grid, "choose", cell, seed, candidate)
        for seed in grid.choose.seeds
        for cell in grid.cells()
        for candidate in grid.choose.of(cell[grid.compare].label)
    ]


def final_runs(grid: Grid, table: Table) -> list[PlannedRun]:
    """The runs whose test figures are told, as far as their hyperparameters are chosen."""
    chosen = [(cell, choice(grid, cell, table)) for cell in grid.cells()]
    return [
        _run(grid, "final", cell, seed, options)
        for seed in grid.seeds
        for cell, options in chosen
        if options is not None
    ]


def candidates(grid: Grid, cell: Mapping[str, Any], table: Table) -> list[tuple[Options, float | None]]:
    """The candidates of a cell, and their mean on the validation images.

    Returns:
        None for a mean that runs are missing of; NaN where one failed
    """
    if grid.choose is None:
        return []
    found: list[tuple[Options, float | None]] = []
    for candidate in grid.choose.of(cell[grid.compare].label):
        runs = [_run(grid, "choose", cell, seed, candidate) for seed in grid.choose.seeds]
        rows = [table.rows.get(run.fingerprint) for run in runs]
        values = [number(row, f"val_{m}") for row in rows if row is not None for m in grid.choose.by]
        found.append((candidate, None if None in rows else sum(values) / len(values)))
    return found


def choice(grid: Grid, cell: Mapping[str, Any], table: Table) -> Options | None:
    """The candidate with the largest mean on the validation images; of equal ones the first.

    Returns:
        nothing to set where nothing is to be chosen; None where runs are missing, or every candidate failed
    """
    return {} if grid.choose is None else _best(candidates(grid, cell, table))


def _best(found: Sequence[tuple[Options, float | None]]) -> Options | None:
    best: tuple[float, Options] | None = None
    for candidate, mean in found:
        if mean is None:
            return None
        if not math.isnan(mean) and (best is None or mean > best[0]):
            best = mean, candidate
    return None if best is None else best[1]


class Judged(NamedTuple):
    """A candidate and what became of it."""

    labels: tuple[str, ...]
    """of its cell, in the order of the axes"""
    options: Options
    mean: float | None
    """on the validation images; None where runs are missing or one failed"""
    is_taken: bool


def judged(grid: Grid, table: Table) -> Iterator[Judged]:
    """All candidates of all cells, where hyperparameters are chosen."""
    for cell in grid.cells():
        found = candidates(grid, cell, table)
        taken = _best(found)
        labels = tuple(entry.label for entry in cell.values())
        for options, mean in found:
            known = None if mean is None or math.isnan(mean) else mean
            yield Judged(labels, options, known, options == taken)


def _run(
    grid: Grid, stage: Literal["choose", "final"], cell: Mapping[str, Any], seed: int, chosen: Options
) -> PlannedRun:
    options: dict[str, Any] = dict(grid.base)
    for entry in cell.values():
        options |= entry.options
    options |= chosen
    options["seed"] = seed
    labels = {axis: entry.label for axis, entry in cell.items()}
    return PlannedRun(grid, stage, labels, seed, chosen, options)


def expected_runs(grid: Grid, table: Table) -> list[PlannedRun]:
    """As `final_runs`, with the first candidate where nothing is chosen yet: to tell how long all takes."""
    found = []
    for cell in grid.cells():
        options = choice(grid, cell, table)
        if options is None and grid.choose is not None:
            options = grid.choose.of(cell[grid.compare].label)[0]
        found += [_run(grid, "final", cell, seed, options or {}) for seed in grid.seeds]
    return found


def all_candidates(grid: Grid) -> Iterator[PlannedRun]:
    """One run for each cell and candidate, whatever will be chosen."""
    for cell in grid.cells():
        of: Sequence[Options] = ({},) if grid.choose is None else grid.choose.of(cell[grid.compare].label)
        for candidate in of:
            yield _run(grid, "final", cell, grid.seeds[0], candidate)


def check_plan(grid: Grid, out: Path) -> None:
    """Find mistakes in the options of any run before the first one is trained.

    Raises:
        ConfigError: the cell, and what is wrong with it.
    """
    for run in all_candidates(grid):
        try:
            config = run.config(out)
            check_options(config)
            parse_method(config)
            if config.corrupt is not None:
                parse_corruption(config.corrupt)
            made = str(run.options.get("data")) in grid.prepare
            if config.data is not None and not made and not config.data.exists():
                raise ConfigError(f"data: {config.data} does not exist; give the folder of your images")
        except ConfigError as error:
            where = ", ".join(f"{axis} {label}" for axis, label in run.cell.items())
            raise ConfigError(f"{where}: {error}") from error
