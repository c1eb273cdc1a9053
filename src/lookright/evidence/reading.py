"""Checking what a grid's YAML says: names that are mistyped, values of the wrong kind."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from lookright.config import TrainConfig, option_name
from lookright.errors import ConfigError
from lookright.metrics import FAITHFULNESS, FAITHFULNESS_LESS_IS_BETTER, FIGURES, OUTSIDE

Options = Mapping[str, Any]

OPTIONS = tuple(name for f in fields(TrainConfig) if (name := option_name(f.name)) not in ("out", "resume"))
_FLOATS = {
    option_name(name)
    for name, hint in get_type_hints(TrainConfig).items()
    if hint is float or float in get_args(hint)
}
MEASURES = (
    *("accuracy", "balanced_accuracy", "auroc", "worst_group_accuracy"),
    *("mean_average_precision", "macro_f1", "micro_f1", "hamming_accuracy", "mae", "rmse", "r2", "spearman"),
    *FIGURES,
    *OUTSIDE,
    *FAITHFULNESS,
    "worst_group_background_swap_accuracy",
)
"""What an evaluation may give, task by task."""
LOWER_IS_BETTER = (
    *("mae", "rmse", "evidence_outside", "positive_outside", "negative_outside"),
    *FAITHFULNESS_LESS_IS_BETTER,
)
FACT = "fact_"
"""begins the name of what a loss tells of the last epoch beside its value: no measure, as nobody says whether
more of it is better"""
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def label_of(axis: str, value: object) -> str:
    """How an entry without a label is called.

    Example:
        >>> label_of("data", "$LOOKRIGHT_DATA/gender_coco/"), label_of("annotated_per_class", None)
        ('gender_coco', 'all')
        >>> label_of("corrupt", None), label_of("lr", 0.001), label_of("flip", True)
        ('none', '0.001', 'true')
    """
    if value is None:
        return "all" if axis in ("annotated_per_class", "train_per_class") else "none"
    if isinstance(value, bool):
        return str(value).lower()
    return Path(str(value)).name if axis == "data" else str(value)


def read_yaml(path: Path) -> object:
    """Read what a YAML file says.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read ({reason}); give a YAML file") from error


def options_of(where: str, content: object) -> dict[str, Any]:
    """Check the names of options.

    Raises:
        ConfigError: there is no option of a name.
    """
    options = mapping_of(where, content)
    refuse_unknown(where, "option", options, OPTIONS)
    return {name: _as_number(value) if name in _FLOATS else value for name, value in options.items()}


def _as_number(value: object) -> object:
    """YAML reads 3e-4 as a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def mapping_of(where: str, content: object) -> dict[str, Any]:
    """Check that something is names with values; nothing is none of them."""
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{where}: got {content!r}, need names with values")
    return content


def refuse_unknown(where: str, what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Say what is near a name that there is not."""
    for name in given:
        if name not in known:
            raise ConfigError(f"{where}: {no_such(what, name, known)}")


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such thing, and what is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no {what} '{name}'; {hint}"


def measures_of(where: str, content: object, *, facts: bool = False) -> tuple[str, ...]:
    """Check that something is a list of measures of an evaluation, or of facts too: any loss may tell some.

    Example:
        >>> measures_of("report", ["iou", "fact_imputer_drift"], facts=True)
        ('iou', 'fact_imputer_drift')
    """
    names = texts_of(where, content)
    refuse_unknown(where, "measure", [n for n in names if not (facts and n.startswith(FACT))], MEASURES)
    return names


def texts_of(where: str, content: object) -> tuple[str, ...]:
    """Check that something is a list of names."""
    if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
        raise ConfigError(f"{where}: got {content!r}, need a list of names")
    return tuple(content)


def text_of(value: object) -> str | None:
    """Give a label as text: YAML reads some as numbers."""
    return None if value is None else str(value)


def seeds_of(where: str, content: object) -> tuple[int, ...]:
    """Check that something is a list of different seeds."""
    if not isinstance(content, list) or not content or not all(type(seed) is int for seed in content):
        raise ConfigError(f"{where}: got {content!r}, need a list of whole numbers")
    if len(set(content)) < len(content):
        raise ConfigError(f"{where}: a seed is there twice; runs of one seed are one run")
    return tuple(content)


def expand(name: str, text: str) -> str:
    """Put the environment's variables into a path: `$NAME`, or `${NAME:-what it is if it is not set}`.

    Raises:
        ConfigError: one is not set.

    Example:
        >>> expand("data", "${SURELY_NOT_SET:-../data}/photos")
        '../data/photos'
    """
    text = _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[2], text)
    path = os.path.expandvars(os.path.expanduser(text))  # noqa: PTH111 -- a Path drops a final slash
    if "$" in path:
        raise ConfigError(f"{name}: {text}: the variable is not set; export it")
    return path
