"""What is typed, and what comes of it."""

import shlex
from collections.abc import Callable
from typing import NamedTuple

SMALL = shlex.split("--backbone small_cnn --weights none --image-size 32 --epochs 1 --accelerator cpu")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Type = Callable[..., Outcome]


def is_one_line(text: str) -> bool:
    return text.startswith("lookright: ") and text.endswith("\n") and text.count("\n") == 1
