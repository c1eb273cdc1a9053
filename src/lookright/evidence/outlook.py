"""How far a grid is, and how long the rest will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lookright.evidence.grid import Grid
from lookright.evidence.plan import PlannedRun, choose_runs, expected_runs
from lookright.evidence.table import Table, number


class Outlook:
    """What finished runs say of those that are left.

    Args:
        grid: what is to be run
        table: what was run
    """

    def __init__(self, grid: Grid, table: Table) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = {}
        for run in (*choose_runs(grid), *expected_runs(grid, table)):
            seconds = number(table.rows.get(run.fingerprint), "seconds")
            if seconds == seconds:
                self.learn(run, seconds)

    @property
    def timed(self) -> int:
        """How many runs it knows the time of."""
        return sum(map(len, self._seconds.values()))

    def learn(self, run: PlannedRun, seconds: float) -> None:
        """Take in how long a run took."""
        self._seconds.setdefault(run.kind, []).append(seconds)

    def seconds(self, runs: Iterable[PlannedRun], processes: int = 1) -> float | None:
        """Tell how long runs will take: as those of their kind, or else as all that ended.

        Args:
            runs: those that are left
            processes: that work at the same time

        Returns:
            None where nothing has ended yet
        """
        if not self._seconds:
            return None
        means = {kind: sum(all_of) / len(all_of) for kind, all_of in self._seconds.items()}
        plain = sum(means.values()) / len(means)
        return sum(means.get(run.kind, plain) for run in runs) / processes


def describe_plan(grid: Grid, out: Path, table: Table, processes: int) -> list[str]:
    """The plan in words, for a dry run.

    Args:
        grid: what is to be run
        out: folder of the experiment
        table: what was run
        processes: that work at the same time
    """
    choosing, final = choose_runs(grid), expected_runs(grid, table)
    lines = [f"{grid.name}: {grid.about}" if grid.about else grid.name]
    lines += [f"made first: {name} ({recipe['set']})" for name, recipe in grid.prepare.items()]
    for axis, entries in grid.axes.items():
        lines.append(f"{axis}: {', '.join(entry.label for entry in entries)}")
    cells = grid.cells()
    lines.append(f"{len(cells)} cells, seeds {', '.join(map(str, grid.seeds))}")
    if grid.choose is not None:
        of = Counter(len(grid.choose.of(cell[grid.compare].label)) for cell in cells)
        seeds, by = ", ".join(map(str, grid.choose.seeds)), " and ".join(grid.choose.by)
        lines.append(
            f"hyperparameters: {' or '.join(map(str, sorted(of)))} candidates for each cell, seeds {seeds}, "
            f"the best {by} on validation images"
        )
        lines.append(f"first {len(choosing)} runs that choose, {_done(choosing, table)} of them done")
    lines.append(f"{len(final)} runs, {_done(final, table)} of them done")
    outlook = Outlook(grid, table)
    left = [run for run in (*choosing, *final) if not table.finished(run.fingerprint)]
    seconds = outlook.seconds(left, processes)
    if seconds is None:
        lines.append("no run has ended, so nobody knows how long: lookright bench GRID --limit 4 times some")
    else:
        lines.append(
            f"what is left takes about {told(seconds)} with {processes} process{'es' * (processes > 1)} "
            f"(from {outlook.timed} runs)"
        )
    lines.append(f"results: {out}")
    return lines


def _done(runs: Sequence[PlannedRun], table: Table) -> int:
    return sum(table.finished(run.fingerprint) for run in runs)


def told(seconds: float) -> str:
    """Say a time in words.

    Example:
        >>> told(8.2), told(300), told(9000)
        ('8 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def default_out(grid: Grid) -> Path:
    """Where results go unless said otherwise."""
    return Path("evidence") / grid.name
