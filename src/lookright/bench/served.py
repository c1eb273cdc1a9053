"""How long `lookright annotate` takes to tell its address."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import take_turns
from lookright.errors import LookrightError

SERVED = Target(3, at_most=True, unit="s")
"""10,000 photos."""

_CLASSES = 5


def write_names(folder: Path, count: int) -> Path:
    """Write photos that hold nothing: none is opened before it is shown.

    Args:
        folder: to be made
        count: of the photos

    Returns:
        the folder
    """
    for number in range(count):
        photo = folder / f"images/class{number % _CLASSES}/{number:05}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.touch()
    return folder


def seconds_to_address(data: Path) -> float:
    """Start the command, from Python's start to the line that tells the address; then end it.

    Args:
        data: photos

    Raises:
        LookrightError: it did not start.
    """
    command = [sys.executable, "-m", "lookright.cli", "annotate", str(data), "--no-browser", "--port", "0"]
    said = []
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            for line in process.stdout or ():
                said.append(line.strip())
                if line.startswith("Open "):
                    return time.perf_counter() - started
        finally:
            process.terminate()
            process.communicate()
    raise LookrightError(f"lookright annotate did not start: {' | '.join(said)}")


def served_figures(settings: Settings) -> Iterator[Figure]:
    """Measure it; the first start, which fills the disk's cache, does not count.

    Args:
        settings: photos, rounds
    """
    with tempfile.TemporaryDirectory() as name:
        data = write_names(Path(name), settings.served_photos)
        seconds = take_turns(
            {"start": lambda: seconds_to_address(data)}, settings.rounds, "lookright annotate"
        )
    of = f"{settings.served_photos:,} photos"
    yield Figure("lookright annotate, from its start to its address", of, "s", seconds, target=SERVED)
