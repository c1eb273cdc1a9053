"""Jobs of a grid on a cluster, through submitit: SLURM's, or processes of this machine in their place.

submitit hands functions, arguments and results over in pickle files. These are written and read by our own
processes alone, in OUT/cluster, and deleted once a job has ended: nothing of a user's is unpickled.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import torch

from lookright.errors import ConfigError, DataError
from lookright.evidence.reading import mapping_of, read_yaml, refuse_unknown
from lookright.files import replacing

if TYPE_CHECKING:  # an extra
    import submitit

log = logging.getLogger("lookright")
P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 16
"""How many jobs are submitted at the same time, if nothing is said."""
LOOK_SECONDS = 1.0
"""How often the command looks what became of its jobs."""
HEED_SECONDS = 5.0
"""How often a job looks whether the command is still there."""
GRACE_SECONDS = 20.0
"""How long a result may take to be seen on another machine, once its job has ended."""
PREEMPTED_SECONDS = 1200.0
"""How long a preempted job may stay so before it is taken for lost; submitit asks SLURM every ten minutes."""


@dataclass(frozen=True)
class Cluster:
    """Where jobs go, and what each of them gets. docs/grids.md has the file of these options."""

    engine: Literal["slurm", "local"]
    partition: str | None = None
    minutes: int = 240
    """time limit"""
    cpus: int = 2
    gpus: int = 0
    memory_gb: float | None = None
    """None: what the cluster gives"""
    tries: int = 2
    """how often a job is submitted if it is killed"""
    slurm: Mapping[str, object] = field(default_factory=dict)
    """further options of sbatch, as submitit names them"""


class LostJobError(DataError):
    """A job that ended without a result, though others can go on."""


def read_cluster(engine: Literal["slurm", "local"], path: Path | None) -> Cluster:
    """Read the options of a cluster.

    Args:
        engine: slurm, or local: processes of this machine
        path: a YAML file of the fields of `Cluster`; None leaves them as they are by default

    Raises:
        ConfigError: the file cannot be read, a name in it is unknown, or a value is none of its option.
    """
    if path is None:
        return Cluster(engine)
    given = mapping_of(str(path), read_yaml(path))
    refuse_unknown(str(path), "option", given, [f.name for f in fields(Cluster) if f.name != "engine"])
    for name, least in {"minutes": 1, "cpus": 1, "gpus": 0, "tries": 1}.items():
        if name in given and (type(given[name]) is not int or given[name] < least):
            raise ConfigError(f"{path}: {name}: got {given[name]!r}, need a whole number, {least} or more")
    memory = given.get("memory_gb")
    if memory is not None and (type(memory) not in (int, float) or not memory > 0):
        raise ConfigError(f"{path}: memory_gb: got {memory!r}, need a number above 0")
    if not isinstance(given.get("partition", ""), str):
        raise ConfigError(f"{path}: partition: got {given['partition']!r}, need a name")
    return Cluster(engine, **given | {"slurm": mapping_of(f"{path}: slurm", given.get("slurm"))})


@contextmanager
def cluster_workers(cluster: Cluster, out: Path) -> Iterator[Executor]:
    """Give what submits jobs; those that are still there when this ends are cancelled.

    Args:
        cluster: what each job gets
        out: folder of the experiment, on a file system that all machines share

    Raises:
        ConfigError: submitit is not installed, this is no machine of a cluster, or an option is refused.
    """
    executor = _Submitting(cluster, out / "cluster")
    try:
        yield executor
    finally:
        executor.shutdown()


@dataclass
class _Flight:
    """A job that was submitted."""

    call: Callable[[], object]
    job: submitit.Job[Any]
    tries: int
    """how often it may still be submitted, this time included"""
    silent_since: float | None = None
    """when it was first seen to have ended, without a result"""


class _Submitting(Executor):
    """Jobs of submitit as ordinary futures: a thread looks what became of them."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._submitit = _make_executor(cluster, folder)
        self._lock = threading.Lock()
        self._flights: dict[Future[Any], _Flight] = {}
        self._ended = threading.Event()
        self._note, self._ticket = folder / "command.txt", uuid.uuid4().hex
        stale = self._note.exists()
        with replacing(self._note) as temporary:
            temporary.write_text(self._ticket, encoding="utf-8")
        if stale:
            log.warning("an earlier command was killed; its jobs have %.0f s to notice", 2 * HEED_SECONDS)
            time.sleep(2 * HEED_SECONDS)
        self._sweep()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a job."""
        there = partial(fn, *args, **kwargs)
        call = partial(_do, there, self._note, self._ticket, self._cluster.cpus, HEED_SECONDS)
        future: Future[T] = Future()
        with self._lock:
            self._flights[future] = _Flight(call, self._launch(call), self._cluster.tries)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Cancel the jobs that have not ended."""
        self._ended.set()
        self._watcher.join()
        for flight in self._flights.values():
            with suppress(OSError):
                flight.job.cancel(check=False)
        self._note.unlink(missing_ok=True)  # whatever was not reached ends by itself
        self._sweep()

    def _sweep(self) -> None:
        """Delete what jobs handed over that nobody waits for any more."""
        for file in self._folder.glob("*.pkl"):
            file.unlink(missing_ok=True)

    def _launch(self, call: Callable[[], object]) -> submitit.Job[Any]:
        try:
            return self._submitit.submit(call)
        except (RuntimeError, OSError) as error:  # what sbatch said is a RuntimeError of submitit's
            reason = " ".join(str(error).split())
            raise ConfigError(f"cluster: the job was refused ({reason}); see --cluster-options") from error

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with self._lock:
                flights = list(self._flights.items())
            for future, flight in flights:
                try:
                    self._look(future, flight)
                except Exception as error:
                    self._settle(future, flight)
                    future.set_exception(error)

    def _look(self, future: Future[Any], flight: _Flight) -> None:
        job = flight.job
        preempted = not job.done() and job.state == "PREEMPTED"  # as a rule SLURM starts it again
        if not job.done() and not preempted:
            flight.silent_since = None
            return
        if job.paths.result_pickle.exists():
            result = _result(job)
            self._settle(future, flight)
            future.set_result(result)
            return
        now = time.monotonic()
        flight.silent_since = now if flight.silent_since is None else flight.silent_since
        if now - flight.silent_since < (PREEMPTED_SECONDS if preempted else GRACE_SECONDS):
            return
        flight.tries -= 1
        why = f"job {job.job_id} ended without a result ({job.state})"
        if flight.tries and not job.state.startswith("CANCELLED"):
            log.warning("%s; it is submitted once more", why)
            with suppress(OSError):
                job.cancel(check=False)
            with self._lock:
                flight.job, flight.silent_since = self._launch(flight.call), None
            return
        raise LostJobError(
            f"{why}; its last words are in {job.paths.stderr}. If it was too slow or too large, raise "
            "minutes or memory_gb in --cluster-options"
        )

    def _settle(self, future: Future[Any], flight: _Flight) -> None:
        with self._lock:
            del self._flights[future]
        for file in (flight.job.paths.submitted_pickle, flight.job.paths.result_pickle):
            file.unlink(missing_ok=True)


def _make_executor(cluster: Cluster, folder: Path) -> submitit.Executor:
    try:
        import submitit
    except ImportError as error:
        raise ConfigError("cluster: submitit is not installed; pip install 'lookright[cluster]'") from error
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster.engine)
    except RuntimeError as error:
        raise ConfigError(
            "cluster: got slurm, but there is no srun here; type the command on a machine of the cluster"
        ) from error
    try:
        executor.update_parameters(
            name="lookright",
            nodes=1,
            tasks_per_node=1,
            timeout_min=cluster.minutes,
            cpus_per_task=cluster.cpus,
            gpus_per_node=cluster.gpus or None,  # a cluster without GPUs may refuse to give none
            mem_gb=cluster.memory_gb,
            slurm_partition=cluster.partition,
            **{f"slurm_{name}": value for name, value in cluster.slurm.items()},
        )
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"cluster options: slurm: {' '.join(str(error).split())}") from error
    return executor


def _result(job: submitit.Job[T]) -> T:
    import submitit

    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError as error:
        said = (job.stderr() or "").strip().splitlines()
        if said and "Job not requeued" in said[-1]:  # submitit's word for a time limit
            raise LostJobError(
                f"job {job.job_id} reached its time limit; raise minutes in --cluster-options"
            ) from error
        raise DataError(
            f"job {job.job_id} failed, and so would the others: {said[-1] if said else 'it said nothing'}; "
            f"see {job.paths.stderr}"
        ) from error


def _do(call: Callable[[], T], note: Path, ticket: str, threads: int, seconds: float) -> T:
    """Do a job, on whatever machine, as long as the command that submitted it is there.

    A command that is begun after one was killed does the same runs, in the same folders.
    """

    def wanted() -> bool:
        try:
            return note.read_text(encoding="utf-8") == ticket
        except FileNotFoundError:
            return False
        except OSError:  # a file system that stumbles
            return True

    def watch() -> None:
        while wanted():
            time.sleep(seconds)
        os._exit(1)

    if not wanted():
        sys.exit("the command that submitted this job has ended")
    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(threads)
    return call()
