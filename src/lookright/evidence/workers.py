"""Who does the jobs of a grid: this process, several on this machine, or a cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import torch

from lookright.engine.environment import environment_variable
from lookright.evidence.cell import run_cells
from lookright.evidence.cluster import Cluster, cluster_workers
from lookright.evidence.fill import fill_features
from lookright.evidence.plan import PlannedRun
from lookright.evidence.shared import Shared

log = logging.getLogger("lookright")


@dataclass(frozen=True)
class Job:
    """What a process does at a time."""

    runs: tuple[PlannedRun, ...]
    needs: str | None
    """features that are computed before it"""
    fills: bool = False
    """whether it computes these, for its runs"""


_shared: Shared | None = None
"""of this process"""


def work(job: Job, out: Path) -> list[dict[str, str]]:
    """Do a job, in whatever process; gives the rows of its runs, in their order."""
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
    file = out / "logs" / f"{platform.node()}-{os.getpid()}.txt"
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

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # as Executor has it
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
def workers(out: Path, processes: int, cluster: Cluster | None = None) -> Iterator[Executor]:
    """Give who does jobs; when this ends by an error, what they do is stopped, and begun anew another time.

    Args:
        out: folder of the experiment
        processes: jobs at the same time; local ones share the cores
        cluster: where jobs go; None: they stay on this machine

    Raises:
        ConfigError: the cluster cannot be used.
    """
    if cluster is not None:
        with _threads(cluster.cpus), cluster_workers(cluster, out) as submitting:
            yield submitting
    elif processes == 1:
        yield from _this_process()
    else:
        threads = max(1, cores() // processes)
        with _threads(threads):
            yield from _local_processes(processes, threads)


def _this_process() -> Iterator[Executor]:
    global _shared
    try:
        yield _Here()
    finally:
        _shared = None


def _local_processes(processes: int, threads: int) -> Iterator[Executor]:
    # A fresh process: what was forked off one that used threads may hang.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(threads,))
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _threads(number: int) -> AbstractContextManager[None]:
    """Processes that are started meanwhile compute with so many threads."""
    return environment_variable("OMP_NUM_THREADS", str(number))  # it is read when libraries are loaded


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
