"""Commands of lookright in processes of their own, one after the other, which can be ended at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PATIENCE = 5.0
"""Seconds in which an interrupted process may tidy up."""


class StoppedError(Exception):
    """The commands were stopped."""


class CommandError(Exception):
    """A command failed; the message is the last line that it printed."""


class Commands:
    """Runs commands until it is stopped, once for all."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._starting = threading.Lock()

    def run(self, arguments: Sequence[str], log: Path) -> None:
        """Run a command to its end.

        Args:
            arguments: after `lookright`
            log: what it prints is added to this file

        Raises:
            StoppedError: `stop` was called, before or meanwhile.
            CommandError: it failed.
        """
        with self._starting:
            if self._stop.is_set():
                raise StoppedError
            with log.open("ab") as file:
                self._process = process = subprocess.Popen(
                    [sys.executable, "-m", "lookright.annotate.with_parent", "lookright.cli", *arguments],
                    stdin=subprocess.PIPE,  # closed however this process ends, and so does the command
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl+C is for the server alone, which ends this group
                )
        with process:  # which closes the pipe
            code = process.wait()
        if self._stop.is_set():
            raise StoppedError
        if code != 0:
            raise CommandError(_last_line(log) or f"it ended with {code}, and the log is empty")

    def stop(self) -> None:
        """End the command that runs, with its children, and let no other begin."""
        self._stop.set()
        with self._starting:
            process = self._process
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: it may tidy up, but not for long."""
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    process.send_signal(signal.SIGINT)  # nothing happens if it has ended
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return said.removeprefix("lookright: ")
