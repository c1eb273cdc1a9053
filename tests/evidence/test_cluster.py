"""Jobs of a grid through submitit: on this machine, on a SLURM that is pretended, or made up altogether."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pretended_slurm
import pytest

from lookright.errors import ConfigError, DataError
from lookright.evidence import cluster as clusters
from lookright.evidence import run as running
from lookright.evidence.cluster import Cluster, LostJobError, cluster_workers, read_cluster
from lookright.evidence.run import run_grid
from lookright.evidence.table import Table

Write = Callable[..., Path]
LOCAL = Cluster("local", cpus=1, minutes=5)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"LOOK": 0.05, "HEED": 0.2, "GRACE": 0.3, "PREEMPTED": 0.6}.items():
        monkeypatch.setattr(clusters, f"{name}_SECONDS", seconds)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the commands of SLURM on the PATH; gives the folder of what they remember."""
    commands, memory = tmp_path / "commands", tmp_path / "slurm"
    commands.mkdir()
    memory.mkdir()
    for name in ("sbatch", "srun", "scancel", "sacct"):
        script = Path(pretended_slurm.__file__).read_text()
        (commands / name).write_text(f"#!{sys.executable}\n{script}")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("PRETENDED_SLURM", str(memory))
    return memory


def shell(text: str) -> tuple[Callable[..., bytes], list[str]]:
    """Something to submit whose parts the job finds by itself; $PPID is the job."""
    return subprocess.check_output, ["sh", "-c", text]


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_jobs_give_what_local_runs_give(write: Write, tmp_path: Path) -> None:
    file = write()
    run_grid(file, tmp_path / "jobs", processes=2, cluster=LOCAL)
    run_grid(file, tmp_path / "here")
    jobs, here = (Table(tmp_path / name / "results.csv").rows for name in ("jobs", "here"))
    assert jobs.keys() == here.keys()
    for fingerprint, row in here.items():
        assert jobs[fingerprint]["status"] == "finished"
        assert float(jobs[fingerprint]["iou"]) == pytest.approx(float(row["iou"]), rel=1e-3)
        assert jobs[fingerprint]["threads"] == "1"
    left = {path.suffix for path in (tmp_path / "jobs" / "cluster").iterdir()}
    assert left == {".out", ".err"}  # no pickle, no note


def test_slurm_is_asked_for_what_the_options_say(write: Write, slurm: Path, tmp_path: Path) -> None:
    options = tmp_path / "cluster.yaml"
    options.write_text(
        "{partition: gpu, minutes: 90, cpus: 3, gpus: 1, memory_gb: 1.5, slurm: {account: vision}}"
    )
    file = write(axes={"method": ["baseline"], "seed": [0]})
    run_grid(file, tmp_path / "out", cluster=read_cluster("slurm", options))
    (row,) = Table(tmp_path / "out" / "results.csv").rows.values()
    assert (row["status"], row["threads"]) == ("finished", "3")
    asked = (slurm / "1000.sh").read_text()
    for line in ("partition=gpu", "time=90", "cpus-per-task=3", "gpus-per-node=1", "mem=1536MB"):
        assert f"#SBATCH --{line}\n" in asked
    assert "#SBATCH --account=vision\n" in asked
    assert "nodes=1\n" in asked


def test_ctrl_c_cancels_jobs(slurm: Path, tmp_path: Path) -> None:
    def interrupted() -> None:
        with cluster_workers(Cluster("slurm"), tmp_path) as executor:
            executor.submit(*shell(f"touch {tmp_path}/begun; sleep 60; touch {tmp_path}/done"))
            until((tmp_path / "begun").exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (slurm / "1000.state").read_text() == "CANCELLED by 0"
    assert not (tmp_path / "cluster" / "command.txt").exists()


def test_a_job_that_is_killed_is_submitted_once_more(tmp_path: Path) -> None:
    with cluster_workers(LOCAL, tmp_path) as executor:
        once = executor.submit(*shell(f"mkdir {tmp_path}/there && kill -9 $PPID; echo fine"))
        wrong = executor.submit(int, "three")
        assert once.result(90) == b"fine\n"
        with pytest.raises(DataError, match="failed, and so would the others: ValueError: invalid literal"):
            wrong.result(90)


class MadeUp:
    """An engine whose jobs have the states of a list, one after the other; a dot is a result."""

    def __init__(self, folder: Path, *lives: list[str]) -> None:
        self.folder, self.lives = folder, list(lives)
        self.cancelled: list[str] = []

    def submit(self, call: Callable[[], object]) -> Any:
        left, job_id = self.lives.pop(0), str(len(self.lives))
        paths = SimpleNamespace(
            result_pickle=self.folder / f"{job_id}.pkl", submitted_pickle=self.folder / "s", stderr="e.txt"
        )
        engine = self

        class OfALife:
            def __init__(self) -> None:
                self.job_id, self.paths = job_id, paths

            @property
            def state(self) -> str:
                return left[0]

            def done(self) -> bool:
                if len(left) > 1:
                    left.pop(0)
                if left[0] == ".":
                    paths.result_pickle.touch()
                return left[0] not in ("PENDING", "RUNNING", "PREEMPTED")

            def result(self) -> str:
                return f"of {job_id}"

            def cancel(self, check: bool) -> None:
                engine.cancelled.append(job_id)

        return OfALife()


@pytest.mark.parametrize(
    ("lives", "result", "cancelled"),
    [
        ([["PENDING", "RUNNING", "RUNNING", "."]], "of 0", []),
        ([["RUNNING", "PREEMPTED", "PENDING", "RUNNING", "."]], "of 0", []),  # SLURM began it again
        ([["PREEMPTED"], ["RUNNING", "."]], "of 0", ["1"]),
        ([["NODE_FAIL"], ["RUNNING", "."]], "of 0", ["1"]),
        ([["TIMEOUT"], ["TIMEOUT"]], r"ended without a result \(TIMEOUT\);.*raise minutes or", ["1"]),
        ([["CANCELLED by 7"]], r"ended without a result \(CANCELLED by 7\)", []),  # somebody did not want it
    ],
)
def test_how_jobs_end(
    lives: list[list[str]], result: str, cancelled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = MadeUp(tmp_path, *lives)
    monkeypatch.setattr(clusters, "_make_executor", lambda *_: engine)
    with cluster_workers(Cluster("slurm"), tmp_path) as executor:
        future = executor.submit(len, "abc")
        if result.startswith("of"):
            assert future.result(10) == result
        else:
            with pytest.raises(LostJobError, match=result):
                future.result(10)
        assert engine.cancelled == cancelled


def test_a_run_whose_job_was_lost_has_a_row_that_says_so(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Losing(Executor):
        def submit(self, *_: object) -> Future[Any]:  # type: ignore[override]
            future: Future[Any] = Future()
            future.set_exception(LostJobError("job 7 ended without a result (OUT_OF_MEMORY)"))
            return future

    @contextmanager
    def workers(*_: object) -> Iterator[Executor]:
        yield Losing()

    file, out = write(axes={"method": ["baseline"], "seed": [0, 1]}), tmp_path / "out"
    with monkeypatch.context() as patch, caplog.at_level("INFO", logger="lookright"):
        patch.setattr(running, "workers", workers)
        run_grid(file, out)
    rows = list(Table(out / "results.csv").rows.values())
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "OUT_OF_MEMORY" in rows[0]["error"]
    assert "[2/2] baseline, seed 1: failed: job 7 ended without" in caplog.text
    run_grid(file, out)
    assert [row["status"] for row in Table(out / "results.csv").rows.values()] == ["finished", "finished"]


def test_a_job_ends_when_its_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was killed cancels nothing, and the next command does the same runs in the same folders."""
    note = tmp_path / "cluster" / "command.txt"
    note.parent.mkdir()
    note.write_text("ticket")
    job = multiprocessing.get_context("spawn").Process(
        target=clusters._do, args=(sleep_long, note, "ticket", 1, 0.1)
    )
    job.start()
    monkeypatch.setattr(clusters, "_make_executor", lambda *_: MadeUp(tmp_path))
    with cluster_workers(Cluster("slurm"), tmp_path):
        assert "an earlier command was killed" in caplog.text
        job.join(60)
        assert job.exitcode == 1
        with pytest.raises(SystemExit):
            clusters._do(sleep_long, note, "ticket", 1, 0.1)


def sleep_long() -> None:
    time.sleep(60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{minute: 3}", "there is no option 'minute'; did you mean minutes"),
        ("{minutes: 0}", "minutes: got 0, need a whole number, 1 or more"),
        ("{cpus: many}", "cpus: got 'many', need a whole number"),
        ("{gpus: true}", "gpus: got True, need a whole number, 0 or more"),
        ("{memory_gb: 0}", "memory_gb: got 0, need a number above 0"),
        ("{partition: 3}", "partition: got 3, need a name"),
        ("{slurm: [account]}", "need names with values"),
        ("{engine: local}", "there is no option 'engine'"),
        ("[", "cannot be read"),
    ],
)
def test_options_that_are_wrong_are_told(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_cluster("slurm", file)


def test_what_is_missing_is_told(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ConfigError, match="there is no srun here; type the command on a machine of"):
        run_grid(write(), tmp_path / "out", cluster=Cluster("slurm"))
    request.getfixturevalue("slurm")
    with pytest.raises(ConfigError, match=r"cluster options: slurm: .*acount"):
        run_grid(write(), tmp_path / "out", cluster=Cluster("slurm", slurm={"acount": "vision"}))
    (tmp_path / "commands" / "sbatch").write_text("#!/bin/sh\necho 'no such partition' >&2; exit 1\n")
    with pytest.raises(ConfigError, match=r"the job was refused \(.*no such partition"):
        run_grid(write(), tmp_path / "out", cluster=Cluster("slurm", partition="gpuu"))
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'lookright\[cluster\]'"):
        run_grid(write(), tmp_path / "out", cluster=LOCAL)
