"""Commands of lookright in a process of their own, one after the other, which can be ended at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

DONE = b"done\n"
"""What the process says when a command has succeeded."""

PATIENCE = 5.0
"""Seconds in which an interrupted process may tidy up."""


class StoppedError(Exception):
    """The commands were stopped."""


class CommandError(Exception):
    """A command failed; the message is the last line that it printed, or what ended it."""


class Commands:
    """Runs commands until it is stopped, once for all.

    Their process waits for them (`lookright.cli.worker`): it is asked for ahead, since to import
    PyTorch takes seconds.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._runs = False

    @property
    def is_stopped(self) -> bool:
        """Whether it is of no use any more."""
        return self._stop.is_set()

    def prepare(self) -> None:
        """Start the process, if there is none, and return at once.

        Raises:
            StoppedError: `stop` was called.
        """
        with self._starting:
            self._ready()

    def run(self, arguments: Sequence[str], log: Path) -> None:
        """Run a command to its end.

        Args:
            arguments: after `lookright`
            log: what it prints is added to this file

        Raises:
            StoppedError: `stop` was called, before or meanwhile.
            CommandError: it failed.
        """
        told = json.dumps({"arguments": list(arguments), "log": str(log)}).encode() + b"\n"
        with self._starting:
            process = self._ready()
            log.touch()
            printed = log.stat().st_size
            self._runs = True
            given, answers = _pipes(process)
            with suppress(BrokenPipeError):  # it has died, and answers nothing
                given.write(told)
        is_done = answers.readline() == DONE
        if self._stop.is_set():
            raise StoppedError
        if not is_done:
            raise CommandError(_why(process.wait(), log, printed))
        self._runs = False

    def stop(self) -> None:
        """End the process, whatever it does, with its children, and let no other begin."""
        self._stop.set()
        with self._starting:
            process = self._process
        if process is not None:
            _end(process, patience=PATIENCE if self._runs else 0)

    def close(self) -> None:
        """The same, once no command runs any more."""
        self.stop()
        if self._process is not None:
            _close_pipes(self._process)

    def _ready(self) -> subprocess.Popen[bytes]:
        """The process; `_starting` is held."""
        if self._stop.is_set():
            raise StoppedError
        if self._process is not None and self._process.poll() is not None:
            _close_pipes(self._process)
            self._process = None
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lookright.cli.worker"],
                bufsize=0,
                stdin=subprocess.PIPE,  # closed however this process ends, and so does the other
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl+C is for the server alone, which ends this group.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        return self._process


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Its input and its output."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("a process without pipes")
    return process.stdin, process.stdout


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in _pipes(process):
        pipe.close()


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a process and its children; one that has something to tidy up may do so, but not for long."""
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    if patience:
        process.send_signal(signal.SIGINT)  # nothing happens if it has ended
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _why(code: int, log: Path, printed: int) -> str:
    """Why a command has failed: the last line that it printed, after what was in its log before."""
    if code < 0:
        killed = f"its process was ended by signal {-code}"
        return f"{killed}, as where memory runs out" if -code == signal.SIGKILL else killed
    text = log.read_bytes()[printed:].decode(errors="replace").replace("\r", "\n")
    said = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return said.removeprefix("lookright: ") or f"it ended with {code}, and the log is empty"
