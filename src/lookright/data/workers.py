"""Errors for people out of the processes that load images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lookright.errors import LookrightError

_TOLD = re.compile(r"^Caught \w+ in DataLoader worker process .*^lookright\.errors\.\w+: (.*)", re.M | re.S)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Give an error of a worker process as it was raised there: all that comes from it is a traceback.

    Example:
        >>> from lookright.errors import DataError
        >>> with plain_errors():
        ...     raise DataError(
        ...         "Caught DataError in DataLoader worker process 0.\\nOriginal Traceback ...\\n"
        ...         "lookright.errors.DataError: a.jpg: cannot be read"
        ...     )
        Traceback (most recent call last):
        lookright.errors.DataError: a.jpg: cannot be read
    """
    try:
        yield
    except LookrightError as error:
        told = _TOLD.search(str(error))
        if told is None:
            raise
        raise type(error)(told[1].strip()) from error
