"""Things that cost time to make, kept while there is room: the least recently used one goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Kept(Generic[K]):
    """Bytes by a key.

    Args:
        most: how many
        most_bytes: how much they may be together; one that is larger alone is not kept

    Example:
        >>> kept = Kept[str](most=1)
        >>> kept.get("a", lambda: b"made"), kept.get("a", lambda: b"again")
        (b'made', b'made')
        >>> _ = kept.get("b", lambda: b"another")
        >>> kept.get("a", lambda: b"again")
        b'again'
    """

    def __init__(self, most: int, most_bytes: int = 64 << 20) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._found: OrderedDict[K, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], bytes]) -> bytes:
        """Give what is kept, or make it. Two threads that ask at the same time may both make it.

        Args:
            key: of it
            make: called without the lock
        """
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        with self._lock:
            self._bytes += len(made) - len(self._found.pop(key, b""))
            self._found[key] = made
            while self._found and (len(self._found) > self._most or self._bytes > self._most_bytes):
                self._bytes -= len(self._found.popitem(last=False)[1])
        return made
