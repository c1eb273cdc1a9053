"""Running a grid: in local processes, to be stopped and started again at any time."""

from __future__ import annotations

import csv
import json
import logging
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from lookright.engine.many.choose import choose
from lookright.errors import ConfigError, DataError
from lookright.evidence.cell import run_cells
from lookright.evidence.fill import features_key, fill_features
from lookright.evidence.grid import Grid, read_grid
from lookright.evidence.made import make_sets
from lookright.evidence.outlook import Outlook, default_out, told
from lookright.evidence.plan import PlannedRun, candidates, check_plan, choice, choose_runs, final_runs
from lookright.evidence.shared import Shared
from lookright.evidence.table import Table
from lookright.files import replacing

log = logging.getLogger("lookright")

TOGETHER = 32
"""How many heads learn together at most: what is lost if the process is killed."""


@dataclass(frozen=True)
class Job:
    """What a process does at a time."""

    runs: tuple[PlannedRun, ...]
    needs: str | None
    """features that are computed before it"""
    fills: bool = False
    """whether it computes these, for its runs"""


def run_grid(path: Path, out: Path | None = None, *, processes: int = 1, limit: int | None = None) -> Path:
    """Do all runs of a grid that are not done yet.

    First the data sets that the grid makes, then the runs that choose hyperparameters, then the others. Each
    row is in results.csv as soon as its run has ended; a run that failed is tried again the next time.

    Args:
        path: the grid, a YAML file
        out: folder of the experiment; by default evidence/NAME
        processes: runs at the same time; they share the cores
        limit: stop after so many runs

    Returns:
        the folder

    Raises:
        ConfigError, DataError: what is wrong with the grid or its data; another process works on `out`; a
            process was killed.
    """
    grid = read_grid(path)
    out = default_out(grid) if out is None else out
    if processes < 1 or (limit is not None and limit < 1):
        raise ConfigError(f"processes, limit: got {processes} and {limit}, need 1 or more")
    check_plan(grid, out)
    table = Table(out / "results.csv")
    with _alone(out), _workers(out, processes) as workers:
        with replacing(out / "grid.yaml") as temporary:
            shutil.copyfile(path, temporary)
        make_sets(grid.prepare, out / "data")
        runner = _Runner(grid, out, table, workers, processes)
        left = runner.do(choose_runs(grid), limit)
        _write_choices(grid, table, out / "chosen.csv")
        if left != 0:
            runner.do(final_runs(grid, table), left)
        for cell in grid.cells():
            if choice(grid, cell, table) is None and left != 0:
                log.warning("%s: every candidate failed", " ".join(entry.label for entry in cell.values()))
    return out


class _Runner:
    def __init__(self, grid: Grid, out: Path, table: Table, workers: Executor, processes: int) -> None:
        self.grid, self.out, self.table = grid, out, table
        self.workers, self.processes = workers, processes
        self.outlook = Outlook(grid, table)

    def do(self, runs: Sequence[PlannedRun], limit: int | None) -> int | None:
        """Do the runs that are not done; gives what is left of the limit."""
        pending = [run for run in runs if not self.table.finished(run.fingerprint)]
        pending = list({run.fingerprint: run for run in pending}.values())  # two cells may be one run
        chosen = pending if limit is None else pending[:limit]
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
                    running[self.workers.submit(_work, job, self.out)] = job
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    if job.fills:
                        filling.discard(job.needs)
                    for row, run in zip(future.result(), () if job.fills else job.runs, strict=True):
                        self.table.add(row)
                        del left[run.fingerprint]
                        self._say(run, row, len(chosen) - len(left), len(chosen), list(left.values()))
        except BrokenProcessPool as error:
            raise DataError(
                "a process was killed, perhaps for lack of memory; what is done is done: start again, with "
                "fewer --processes"
            ) from error
        return None if limit is None else limit - len(chosen)

    def _say(
        self, run: PlannedRun, row: dict[str, str], done: int, of: int, left: Sequence[PlannedRun]
    ) -> None:
        seconds = float(row["seconds"])
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
        log.info("[%d/%d] %s: %s (%s%s)", done, of, run.label, what, told(seconds), ahead)


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


_shared: Shared | None = None
"""of this process"""


def _work(job: Job, out: Path) -> list[dict[str, str]]:
    """Do a job, in whatever process."""
    global _shared
    if _shared is None:
        _shared = Shared()
    with _quiet(out):
        if not job.fills:
            return run_cells(job.runs, out, _shared)
        fill_features([run.config(out) for run in job.runs], _shared)
        return []


@contextmanager
def _quiet(out: Path) -> Iterator[None]:
    """What a run says goes to a file; the grid tells how it ended."""
    file = out / "logs" / f"{os.getpid()}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    level = log.level
    with file.open("a", encoding="utf-8") as text, redirect_stderr(text):
        handler = logging.StreamHandler(text)
        propagate = log.propagate
        log.addHandler(handler)
        log.propagate = False
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagate
            log.setLevel(level)


class _Here(Executor):
    """Does everything at once, in this process."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Do it."""
        future: Future[object] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _begin(threads: int) -> None:
    """Begin a worker process, which ends with the one that started it, however that ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _workers(out: Path, processes: int) -> Iterator[Executor]:
    global _shared
    if processes == 1:
        try:
            yield _Here()
        finally:
            _shared = None
        return
    threads = max(1, cores() // processes)
    # A fresh process: what was forked off one that used threads may hang.
    context = multiprocessing.get_context("spawn")
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # it is read when libraries are loaded
    try:
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(threads,))
        try:
            yield pool
        except BaseException:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()  # what it is doing is begun anew the next time
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        for cell in grid.cells():
            taken = choice(grid, cell, table)
            labels = [entry.label for entry in cell.values()]
            for options, mean in candidates(grid, cell, table):
                shown = "" if mean is None or mean != mean else f"{mean:.6g}"
                told_as = json.dumps(dict(options), default=str)
                writer.writerow([*labels, told_as, shown, str(options == taken).lower()])
