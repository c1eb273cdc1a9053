"""`python -m lookright.cli.worker`: waits for commands of lookright, and ends when its parent does.

Each line of its standard input is one: {"arguments": what comes after `lookright`, "log": file to which it
prints}. `DONE` on the standard output says that it is done; where it fails, this process ends with its exit
code. What training needs is imported meanwhile.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from lookright.annotate.commands import DONE, PATIENCE
from lookright.cli import main

_INTERRUPTED = 130

_lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
_busy = threading.Event()


def _read() -> None:
    """Hand on the lines; at their end the parent has ended, however it did, and so does this process."""
    # Not sys.stdin: its lock, held at the interpreter's end, would be a fatal error.
    rest = b""
    while part := os.read(0, 65536):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            _lines.put(line)
    if not _busy.is_set():
        os._exit(0)  # nothing to tidy up
    signal.raise_signal(signal.SIGINT)
    time.sleep(PATIENCE)
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _work() -> NoReturn:
    answers = os.dup(1)
    _print_to(Path(os.devnull))  # what a library says while it is imported is no answer
    with suppress(Exception):  # the command meets it again, and its log says so
        import lookright.engine.evaluate
        import lookright.engine.train  # noqa: F401
    while True:
        told = json.loads(_lines.get())
        _busy.set()
        _print_to(Path(told["log"]))
        _carry_out(told["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
        _free_device()
        os.write(answers, DONE)
        _busy.clear()


def _print_to(log: Path) -> None:
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _carry_out(arguments: Sequence[str]) -> None:
    try:
        main(arguments)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise


def _free_device() -> None:
    """Leave a GPU's memory to the server, which opens the new model there."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    threading.Thread(target=_read, daemon=True).start()
    try:
        _work()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
