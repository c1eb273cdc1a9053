"""`python -m lookright.annotate.with_parent MODULE ...`: runs a module that ends when its parent does.

The parent holds the other end of its standard input, which is closed however the parent ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_PATIENCE = 5.0
"""Seconds in which the interrupted command may tidy up."""


def _end_with_parent() -> None:
    # Not sys.stdin.read(): its lock, held at the interpreter's end, would be a fatal error.
    while os.read(0, 1024):
        pass
    signal.raise_signal(signal.SIGINT)
    time.sleep(_PATIENCE)
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]  # the module finds its own name there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
