"""Commands run in one process that waits for them, and that ends however its parent does."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_process import is_worker, workers

from lookright import __version__
from lookright.annotate.commands import CommandError, Commands, StoppedError

PARENT = """
import sys
from pathlib import Path
from lookright.annotate.commands import Commands

commands = Commands()
commands.prepare()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def commands() -> Iterator[Commands]:
    found = Commands()
    yield found
    found.close()


def number(commands: Commands) -> int:
    process = commands._process
    assert process is not None
    return process.pid


def test_one_process_runs_one_command_after_the_other(commands: Commands, tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands.prepare()
    prepared = number(commands)
    commands.run(["--version"], log)
    commands.run(["backbones", "small_cnn"], log)
    assert number(commands) == prepared
    first, *rest = log.read_text(encoding="utf-8").splitlines()
    assert __version__ in first
    assert any("small_cnn" in line for line in rest)


def test_a_mistake_is_told_by_its_last_line_and_the_next_command_still_runs(
    commands: Commands, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="nothing") as raised:
        commands.run(["evaluate", str(tmp_path / "nothing")], tmp_path / "log")
    assert not str(raised.value).startswith("lookright: ")
    commands.run(["--version"], tmp_path / "other")
    assert __version__ in (tmp_path / "other").read_text(encoding="utf-8")


def test_a_process_that_was_killed_is_told_of_or_replaced(commands: Commands, tmp_path: Path) -> None:
    commands.run(["--version"], tmp_path / "log")
    killed = number(commands)
    waiting = commands._process
    assert waiting is not None
    waiting.kill()
    waiting.wait()
    commands.run(["--version"], tmp_path / "log")
    assert number(commands) != killed

    threading.Timer(0.5, lambda: commands._process and commands._process.kill()).start()
    with pytest.raises(CommandError, match=r"^its process was ended by signal 9, as where memory runs out$"):
        commands.run(["demo", "--out", str(tmp_path / "demo")], tmp_path / "log")


def test_what_an_earlier_command_has_printed_is_no_reason(commands: Commands, tmp_path: Path) -> None:
    commands.run(["--version"], tmp_path / "log")
    with pytest.raises(CommandError, match=r"^nothing: not a run folder"):
        commands.run(["evaluate", "nothing"], tmp_path / "log")


def test_nothing_begins_once_it_is_stopped(commands: Commands, tmp_path: Path) -> None:
    commands.prepare()
    process = commands._process
    commands.stop()
    assert process is not None
    assert process.poll() is not None
    with pytest.raises(StoppedError):
        commands.run(["--version"], tmp_path / "log")
    with pytest.raises(StoppedError):
        commands.prepare()


def test_what_runs_is_ended_from_another_thread(commands: Commands, tmp_path: Path) -> None:
    threading.Timer(0.2, commands.stop).start()
    with pytest.raises(StoppedError):
        commands.run(["demo", "--out", str(tmp_path / "demo")], tmp_path / "log")


def test_the_waiting_process_ends_with_its_parent_at_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (worker,) = workers(parent.pid)
        parent.kill()
    end = time.monotonic() + 4  # not after the time that a command may take to tidy up
    while is_worker(worker):
        assert time.monotonic() < end
        time.sleep(0.1)
