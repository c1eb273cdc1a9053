"""Running a grid, to be stopped and started again at any time."""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lookright.engine.many.choose import choose
from lookright.errors import ConfigError, DataError
from lookright.evidence.cell import lost_row
from lookright.evidence.cluster import Cluster, LostJobError
from lookright.evidence.fill import features_key
from lookright.evidence.grid import Grid, read_grid
from lookright.evidence.made import make_sets
from lookright.evidence.outlook import Outlook, default_out, told
from lookright.evidence.photos import note_photos
from lookright.evidence.plan import PlannedRun, check_plan, choice, choose_runs, final_runs, judged
from lookright.evidence.table import Row, Table, number
from lookright.evidence.workers import Job, work, workers
from lookright.files import replacing

log = logging.getLogger("lookright")

TOGETHER = 32
"""How many heads learn together at most: what is lost if the process is killed."""


def run_grid(
    path: Path,
    out: Path | None = None,
    *,
    processes: int = 1,
    limit: int | None = None,
    cluster: Cluster | None = None,
) -> Path:
    """Do all runs of a grid that are not done yet.

    First the data sets that the grid makes, then the runs that choose hyperparameters, then the others. Each
    row is in results.csv as soon as its run has ended; a run that failed is tried again the next time.

    Args:
        path: the grid, a YAML file
        out: folder of the experiment; by default evidence/NAME
        processes: jobs at the same time; local ones share the cores
        limit: stop after so many runs
        cluster: where jobs go; None: they stay on this machine

    Returns:
        the folder

    Raises:
        ConfigError, DataError: what is wrong with the grid or its data; another process works on `out`; a
            process was killed; the cluster cannot be used.
    """
    grid = read_grid(path)
    out = default_out(grid) if out is None else out
    if processes < 1 or (limit is not None and limit < 1):
        raise ConfigError(f"processes, limit: got {processes} and {limit}, need 1 or more")
    check_plan(grid, out)
    table = Table(out / "results.csv")
    with _alone(out), workers(out, processes, cluster) as executor:
        with replacing(out / "grid.yaml") as temporary:
            shutil.copyfile(path, temporary)
        note_photos(grid, out)
        make_sets(grid.prepare, out / "data")
        runner = _Runner(grid, out, table, executor, processes)
        left = runner.do(choose_runs(grid), limit)
        _write_choices(grid, table, out / "chosen.csv")
        if left != 0:
            runner.do(final_runs(grid, table), left)
        for cell in grid.cells():
            if choice(grid, cell, table) is None and left != 0:
                log.warning("%s: every candidate failed", " ".join(entry.label for entry in cell.values()))
    return out


class _Runner:
    def __init__(self, grid: Grid, out: Path, table: Table, executor: Executor, processes: int) -> None:
        self.grid, self.out, self.table = grid, out, table
        self.executor, self.processes = executor, processes
        self.outlook = Outlook(grid, table)

    def do(self, runs: Sequence[PlannedRun], limit: int | None) -> int | None:
        """Do the runs that are not done; gives what is left of the limit."""
        pending: dict[str, PlannedRun] = {}  # two cells may be one run
        for run in runs:
            if self.table.finished(run.fingerprint):
                _check_measured(run, self.table.rows[run.fingerprint])
            else:
                pending[run.fingerprint] = run
        chosen = list(pending.values())[:limit]
        waiting = plan_jobs(chosen, self.out, self.processes)
        left = {run.fingerprint: run for run in chosen}
        filling = {job.needs for job in waiting if job.fills}
        running: dict[Future[list[dict[str, str]]], Job] = {}
        try:
            while waiting or running:
                for job in [job for job in waiting if job.fills or job.needs not in filling]:
                    if len(running) == self.processes:
                        break
                    waiting.remove(job)
                    running[self.executor.submit(work, job, self.out)] = job
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    if job.fills:
                        filling.discard(job.needs)
                    for row, run in zip(_rows(job, future), () if job.fills else job.runs, strict=True):
                        self.table.add(row)
                        del left[run.fingerprint]
                        self._say(run, row, len(chosen) - len(left), len(chosen), list(left.values()))
                        _check_measured(run, row)
        except BrokenProcessPool as error:
            raise DataError(
                "a process was killed, perhaps for lack of memory; what is done is done: start again, with "
                "fewer --processes"
            ) from error
        return None if limit is None else limit - len(chosen)

    def _say(self, run: PlannedRun, row: Row, done: int, of: int, left: Sequence[PlannedRun]) -> None:
        seconds = number(row, "seconds")
        lost = seconds != seconds
        if not lost:
            self.outlook.learn(run, seconds)
        if row["status"] == "failed":
            what = f"failed: {row['error']}"
        else:
            before = "val_" if run.stage == "choose" else ""
            names = self.grid.choose.by if run.stage == "choose" and self.grid.choose else self.grid.report
            shown = [f"{m} {float(v):.3f}" for m in names[:3] if (v := row.get(before + m))]
            what = ", ".join(shown)
        rest = self.outlook.seconds(left, self.processes)
        ahead = f"; about {told(rest)} left" if left and rest is not None else ""
        took = "no time known" if lost else told(seconds)
        log.info("[%d/%d] %s: %s (%s%s)", done, of, run.label, what, took, ahead)


def _check_measured(run: PlannedRun, row: Row) -> None:
    """Stop where nothing can be chosen by what validation images lack, before all candidates are trained."""
    if run.stage != "choose" or run.grid.choose is None or row["status"] != "finished":
        return
    for measure in run.grid.choose.by:
        if math.isnan(number(row, f"val_{measure}")):
            raise ConfigError(
                f"choose: by: {run.label}: its validation images give no {measure!r} (it needs groups, "
                "annotations, or more of them); choose by something else"
            )


def _rows(job: Job, future: Future[list[dict[str, str]]]) -> list[dict[str, str]]:
    try:
        return future.result()
    except LostJobError as error:
        if not job.fills:
            return [lost_row(run, str(error)) for run in job.runs]
        log.warning("features are not computed before the runs: %s", error)
        return []


def plan_jobs(runs: Sequence[PlannedRun], out: Path, processes: int = 1) -> list[Job]:
    """Sort runs into what processes do at a time: features first, heads that learn together as one.

    Args:
        runs: in their order
        out: folder of the experiment
        processes: heads are shared out to so many
    """
    configs = [run.config(out) for run in runs]
    keys = [features_key(config) for config in configs]
    by_key: dict[str, list[PlannedRun]] = {}
    for run, key in zip(runs, keys, strict=True):
        if key is not None:
            by_key.setdefault(key, []).append(run)
    jobs = [Job(tuple(of_key), key, fills=True) for key, of_key in by_key.items()]
    work: list[tuple[int, Job]] = []
    choice = choose(configs)
    for group in choice.groups:
        size = min(TOGETHER, -(-len(group) // processes))
        for start in range(0, len(group), size):
            part = group[start : start + size]
            work.append((part[0], Job(tuple(runs[i] for i in part), keys[part[0]])))
    work += [(i, Job((runs[i],), keys[i])) for i in choice.alone]
    return jobs + [job for _, job in sorted(work, key=lambda pair: pair[0])]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Nobody else works on this folder."""
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"out: another lookright bench works on {out}; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _write_choices(grid: Grid, table: Table, path: Path) -> None:
    """Write down every candidate, what it came to on the validation images, and which one is taken."""
    if grid.choose is None:
        return
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*grid.axes, "candidate", "validation", "chosen"])
        for labels, options, mean, is_taken in judged(grid, table):
            shown = "" if mean is None else f"{mean:.6g}"
            told_as = json.dumps(dict(options), default=str)
            writer.writerow([*labels, told_as, shown, str(is_taken).lower()])
