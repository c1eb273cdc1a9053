"""Variables of the environment that processes started meanwhile find."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment until the end of the block; then it is as it was.

    Args:
        name: of the variable
        value: for this process and those that it starts

    Example:
        >>> with environment_variable("LOOKRIGHT_EXAMPLE", "1"):
        ...     os.environ["LOOKRIGHT_EXAMPLE"]
        '1'
        >>> "LOOKRIGHT_EXAMPLE" in os.environ
        False
    """
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
