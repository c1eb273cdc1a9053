"""Whether an option has a value of its kind: out of YAML, or from Python, where nobody else looks."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lookright.config import DataConfig

_NEEDED = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    list[str]: "a list of texts",
    NoneType: "None",
}


def fits(value: object, hint: Any) -> bool:
    """Whether a value is one that an option of this type can have.

    Example:
        >>> fits(3, int), fits(2.5, int), fits(True, int), fits(3, float), fits(None, int | None)
        (True, False, False, True, True)
    """
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if isinstance(hint, UnionType):
        return any(fits(value, kind) for kind in get_args(hint))
    if hint == list[str]:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if hint is Path:
        return isinstance(value, str | Path)
    kinds = (int, float) if hint is float else (hint,)
    return type(value) in kinds  # and not isinstance: True is no number here


def wrong_kinds(config: DataConfig) -> list[str]:
    """Name each option whose value is not of its kind, with what it needs.

    Example:
        >>> from lookright.config import TrainConfig
        >>> wrong_kinds(TrainConfig(epochs=2.5, schedule="linear"))
        ['epochs: got 2.5, need a whole number', "schedule: got 'linear', choose one of cosine, constant"]
    """
    hints = get_type_hints(type(config))
    return [
        f"{field.name}: got {value!r}, {_need(hints[field.name])}"
        for field in fields(config)
        if not fits(value := getattr(config, field.name), hints[field.name])
    ]


def _need(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"choose one of {', '.join(get_args(hint))}"
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return f"need {' or '.join(_NEEDED[kind] for kind in kinds)}"
