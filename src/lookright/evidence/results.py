"""What an experiment's folder holds, sorted: of each cell of the grid the rows of its seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lookright.errors import DataError
from lookright.evidence.grid import Entry, Grid, read_grid
from lookright.evidence.plan import PlannedRun, choose_runs, final_runs
from lookright.evidence.reading import FACT, MEASURES
from lookright.evidence.table import Row, Table, number

_NEEDED = ("fingerprint", "stage", "run", "status", "error", "seed")
_MAIN = ("worst_group_accuracy", "accuracy", "mean_average_precision", "mae")
_AGREEMENT = ("iou", "f1", "epg")
_COUNTED = ("seconds", "train_seconds", "evaluate_seconds", "waited", "annotated_images", "seed")
BUSY = 0.15
"""share of its seconds for which a run may have waited for a core before they say nothing"""


@dataclass(frozen=True)
class Group:
    """Cells that are compared with each other: all axes but the compared one have one value."""

    labels: Mapping[str, str]
    """axis -> label"""

    @property
    def title(self) -> str:
        """What a heading says."""
        told = [label if axis == "data" else f"{axis} {label}" for axis, label in self.labels.items()]
        return ", ".join(told) or "all runs"

    @property
    def key(self) -> tuple[str, ...]:
        """Labels in the order of the axes."""
        return tuple(self.labels.values())


class Results:
    """The rows of an experiment that belong to its grid as it is.

    Args:
        grid: what was to be run
        table: what was run; rows of an earlier version of the grid count nowhere
        folder: where both were read
    """

    def __init__(self, grid: Grid, table: Table, folder: Path) -> None:
        self.grid, self.table, self.folder = grid, table, folder
        self.groups: list[Group] = []
        self._entries: dict[tuple[str, ...], list[str]] = {}
        for cell in grid.cells():
            group = Group({axis: entry.label for axis, entry in cell.items() if axis != grid.compare})
            if group.key not in self._entries:
                self.groups.append(group)
            self._entries.setdefault(group.key, []).append(cell[grid.compare].label)
        self._rows: dict[tuple[tuple[str, ...], str, int], Row] = {}
        planned = final_runs(grid, table)
        for run in planned:
            if (row := table.rows.get(run.fingerprint)) is not None:
                self._rows[self._group_key(run), run.cell[grid.compare], run.seed] = row
        choosing = choose_runs(grid)
        self.choosing = _rows_of(choosing, table)
        self.final = _rows_of(planned, table)
        self.missing_choosing = len({r.fingerprint for r in choosing}) - len(self.choosing)
        known = {row["fingerprint"] for row in (*self.choosing, *self.final)}
        self.left_out = len(table.rows.keys() - known)
        """rows of an earlier version of the grid"""

    def _group_key(self, run: PlannedRun) -> tuple[str, ...]:
        return tuple(label for axis, label in run.cell.items() if axis != self.grid.compare)

    def entries(self, group: Group) -> list[str]:
        """What is compared in a group, in the order of the grid."""
        return self._entries[group.key]

    def row(self, group: Group, entry: str, seed: int) -> Row | None:
        """The row of a run that has finished."""
        row = self._rows.get((group.key, entry, seed))
        return row if row is not None and row["status"] == "finished" else None

    def finished(self, group: Group, entry: str) -> list[Row]:
        """Rows of the seeds that have finished."""
        rows = [self.row(group, entry, seed) for seed in self.grid.seeds]
        return [row for row in rows if row is not None]

    def values(self, group: Group, entry: str, measure: str) -> dict[int, float]:
        """Seed -> figure, where there is one."""
        found = {seed: number(self.row(group, entry, seed), measure) for seed in self.grid.seeds}
        return {seed: value for seed, value in found.items() if math.isfinite(value)}

    def failed(self) -> list[Row]:
        """Runs that failed, those that choose hyperparameters first."""
        return [row for row in (*self.choosing, *self.final) if row["status"] == "failed"]

    def missing(self) -> list[tuple[Group, str, list[int]]]:
        """Cells with seeds that have no row at all."""
        found = []
        for group in self.groups:
            for entry in self.entries(group):
                seeds = [s for s in self.grid.seeds if (group.key, entry, s) not in self._rows]
                if seeds:
                    found.append((group, entry, seeds))
        return found

    def group_of(self, group: Group, entry: str) -> Group | None:
        """Where the runs of an entry lie that a group is compared with: in the group itself, as a rule.

        Plain training sees no annotations, so that a grid may exclude it where these are rough or few: then
        it is taken from a group that differs in the annotations alone.
        """
        if entry in self.entries(group):
            return group
        if entry != self.grid.baseline:
            return None
        unseen = {axis_of(self.grid, option) for option in ("corrupt", "annotated_per_class")}
        others = (g for g in self.groups if entry in self.entries(g))
        alike = (
            g for g in others if all(g.labels[a] == x for a, x in group.labels.items() if a not in unseen)
        )
        return next(alike, None)

    def measures(self, group: Group | None = None) -> tuple[str, ...]:
        """Measures that some finished run has, in the order of `MEASURES`; then facts of the report."""
        rows = self.final if group is None else list(self._of(group))
        done = [row for row in rows if row["status"] == "finished"]
        facts = [name for name in self.grid.report if name.startswith(FACT)]
        return tuple(m for m in (*MEASURES, *facts) if any(math.isfinite(number(row, m)) for row in done))

    def _of(self, group: Group) -> Iterator[Row]:
        for entry in self.entries(group):
            yield from self.finished(group, entry)

    def performance(self, group: Group) -> str | None:
        """The measure by which performance is judged: that of the worst group, where there are groups."""
        return next((m for m in _MAIN if m in self.measures(group)), None)

    def agreement(self, group: Group) -> str | None:
        """The measure by which explanations are judged."""
        return next((m for m in _AGREEMENT if m in self.measures(group)), None)


def _rows_of(runs: Sequence[PlannedRun], table: Table) -> list[Row]:
    rows = {run.fingerprint: table.rows.get(run.fingerprint) for run in runs}
    return [row for row in rows.values() if row is not None]


def axis_of(grid: Grid, option: str) -> str | None:
    """The axis, beside the compared one, of which every entry sets an option; None where there is none."""
    return next(
        (
            axis
            for axis, entries in grid.axes.items()
            if axis != grid.compare and all(option in entry.options for entry in entries)
        ),
        None,
    )


def entry_of(grid: Grid, axis: str, label: str) -> Entry:
    """The entry of an axis that has a label."""
    return next(entry for entry in grid.axes[axis] if entry.label == label)


def read_results(folder: Path) -> Results:
    """Read the folder of an experiment.

    Args:
        folder: what `lookright bench` wrote: results.csv and grid.yaml

    Raises:
        ConfigError: its grid.yaml is damaged.
        DataError: no such folder, a file is missing or damaged, or no run of the grid has finished.
    """
    file = folder / "results.csv"
    for needed in (file, folder / "grid.yaml"):
        if not needed.is_file():
            raise DataError(f"{needed}: does not exist; give a folder that lookright bench GRID.yaml wrote")
    table = Table(file)
    for row in table.rows.values():
        if lacking := [column for column in _NEEDED if column not in row]:
            raise DataError(f"{file}: has no column '{lacking[0]}'; give what lookright bench wrote")
        _check_numbers(file, row)
    results = Results(read_grid(folder / "grid.yaml"), table, folder)
    if not any(row["status"] == "finished" for row in results.final):
        failed = results.failed()
        why = f"{len(failed)} failed, the first: {failed[0]['run']}: {failed[0]['error']}" if failed else ""
        if not why and results.left_out:
            why = f"{results.left_out} rows are of another version of the grid"
        if not why and results.choosing:
            why = "it has none but runs that choose hyperparameters"
        raise DataError(
            f"{file}: no run of {folder / 'grid.yaml'} has finished ({why or 'it has no rows'}); "
            "go on with lookright bench"
        )
    return results


def typical_cost(rows: Sequence[Row]) -> float | None:
    """Seconds of one run, set-up included and evaluation left out: the median, as machines are noisy.

    Runs do not count that waited for a core, as others had it.
    """
    alone = [row for row in rows if not waited(row)]
    costs = [number(row, "seconds") - number(row, "evaluate_seconds") for row in alone]
    known = [cost for cost in costs if math.isfinite(cost)]
    return median(known) if known else None


def waited(row: Row) -> bool:
    """Whether a run waited for a core for so long that its seconds say nothing."""
    return number(row, "waited") > BUSY * number(row, "seconds")


def _check_numbers(file: Path, row: Row) -> None:
    for column in (*MEASURES, *_COUNTED):
        try:
            number(row, column)
        except ValueError as error:
            raise DataError(
                f"{file}: {column} of {row['run']}: got '{row[column]}', need a number; put the file back"
            ) from error
