"""Arguments that are one of a few: as an enum, or as the word that stands for it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TypeVar

from lookright.errors import ConfigError

Choice = TypeVar("Choice", bound=enum.Enum)


def choice(argument: str, got: Choice | str, kind: type[Choice], among: Iterable[Choice] = ()) -> Choice:
    """Give the member of an enum that an argument names.

    Args:
        argument: its name, for the message
        got: the member or its value
        kind: the enum
        among: the members that can be chosen (default: all)

    Raises:
        ConfigError: it is none of them.

    Example:
        >>> from lookright.types import Score
        >>> choice("score", "contrast", Score) is choice("score", Score.CONTRAST, Score)
        True
        >>> choice("score", "loud", Score, (Score.LOGIT, Score.CONTRAST))
        Traceback (most recent call last):
        ...
        lookright.errors.ConfigError: score: got 'loud', choose one of logit, contrast
    """
    known = list(among) or list(kind)
    for member in known:
        if got is member or (isinstance(got, str) and got == member.value):
            return member
    shown = got.value if isinstance(got, enum.Enum) else got
    raise ConfigError(f"{argument}: got {shown!r}, choose one of {', '.join(str(m.value) for m in known)}")
