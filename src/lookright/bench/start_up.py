"""How long one waits for an answer that needs no network."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import take_turns

AT_ONCE = Target(0.3, at_most=True, unit="s")
"""`lookright --help`."""

STARTS: dict[str, tuple[str, ...]] = {
    "lookright --help": ("-m", "lookright.cli", "--help"),
    "import lookright": ("-c", "import lookright"),
    "python alone": ("-c", ""),
}
"""what it is called -> arguments of Python"""


def start_seconds(arguments: tuple[str, ...]) -> float:
    """Run Python in a process of its own, to its end.

    Args:
        arguments: of Python

    Raises:
        CalledProcessError: it failed.

    Example:
        >>> start_seconds(("-c", "")) > 0
        True
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def start_up_figures(settings: Settings) -> Iterator[Figure]:
    """Measure starts; the first one of each, which fills the disk's cache, does not count.

    Args:
        settings: rounds
    """

    def start(arguments: tuple[str, ...]) -> Callable[[], float]:
        return lambda: start_seconds(arguments)

    variants = {name: start(arguments) for name, arguments in STARTS.items()}
    for name, seconds in take_turns(variants, settings.rounds, "start-up").items():
        target = AT_ONCE if name == "lookright --help" else None
        yield Figure("start-up", name, "s", {name: seconds}, target=target)
