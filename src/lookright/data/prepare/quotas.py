"""Which image gets which companion (marker, background): exact shares, random order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lookright.data.annotations import Item
from lookright.data.splits import shuffle_key
from lookright.errors import ConfigError


def share_out(ids: Iterable[str], own: int, kinds: int, correlation: float, *, seed: int) -> dict[str, int]:
    """Give the share `correlation` of the images of a class its own companion, the others the rest evenly.

    Counts are exact to rounding. Who gets what follows the order of a hash of seed and id, so that it does
    not depend on the order of the images.

    Args:
        ids: images of one class and split
        own: companion of the class, from 0 to `kinds` - 1
        kinds: how many companions there are
        correlation: in [0, 1]
        seed: another seed, another draw

    Returns:
        id -> companion

    Example:
        >>> from collections import Counter
        >>> told = share_out(map(str, range(20)), own=1, kinds=3, correlation=0.8, seed=0)
        >>> sorted(Counter(told.values()).items())
        [(0, 2), (1, 16), (2, 2)]
    """
    ordered = sorted(ids, key=lambda id_: shuffle_key(seed, id_))
    aligned = round(correlation * len(ordered))
    others = [(own + step) % kinds for step in range(1, kinds)]
    told = dict.fromkeys(ordered[:aligned], own)
    told |= {id_: others[i % len(others)] for i, id_ in enumerate(ordered[aligned:])}
    return told


def share_evenly(ids: Iterable[str], own: int, kinds: int, *, seed: int) -> dict[str, int]:
    """Give every companion to equally many images of a class; what is left over goes to its own first.

    Example:
        >>> sorted(share_evenly("abcde", own=1, kinds=2, seed=0).values())
        [0, 0, 1, 1, 1]
    """
    ordered = sorted(ids, key=lambda id_: shuffle_key(seed, id_))
    return {id_: (own + i) % kinds for i, id_ in enumerate(ordered)}


def check_correlation(correlation: float) -> None:
    """Refuse a share that is none.

    Raises:
        ConfigError: not in [0, 1]
    """
    if not 0 <= correlation <= 1:
        raise ConfigError(f"correlation: got {correlation}, need a share from 0 to 1")


def by_class(items: Sequence[Item], classes: int) -> list[list[Item]]:
    """The images of each class, in the order of their labels."""
    return [[item for item in items if item.label == label] for label in range(classes)]
