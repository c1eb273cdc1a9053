"""Which runs can learn together, by their options alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from lookright.config import INCIDENTAL, TrainConfig
from lookright.engine.processes import find_launcher

OF_A_RUN = ("seed", "best", "patience", *INCIDENTAL)
"""options in which the runs of one method may differ and still be computed as one"""

OF_A_METHOD = (
    *("method", "explain", "score", "imputer", "explanation_weight", "weighting", "explanation_warmup"),
    *("slack", "threshold", "impute", "regularizer", "published_init", "per_image", "resize"),
    *("stop_gradient", "outside", "overlap", "gradient_at"),
)
"""options in which methods may differ that learn from the same batches"""


class Choice(NamedTuple):
    """Which runs learn together."""

    groups: list[list[int]]
    """indices of the runs of each group, two or more"""
    alone: dict[int, str]
    """index of any other run, and why; empty where nothing else fits it"""


def choose(configs: Sequence[TrainConfig]) -> Choice:
    """Sort runs by what they share.

    Args:
        configs: of the runs

    Example:
        >>> runs = [TrainConfig(train="head", seed=seed) for seed in (0, 1)] + [TrainConfig()]
        >>> choose(runs)
        Choice(groups=[[0, 1]], alone={2: 'train: last-stage; only a head is trained with others'})
    """
    groups: dict[str, list[int]] = {}
    alone = {}
    for i, config in enumerate(configs):
        if why := _why_alone(config):
            alone[i] = why
        else:
            groups.setdefault(_key(config, (*OF_A_RUN, *OF_A_METHOD)), []).append(i)
    alone |= {indices[0]: "" for indices in groups.values() if len(indices) == 1}
    return Choice([indices for indices in groups.values() if len(indices) > 1], alone)


def method_key(config: TrainConfig) -> str:
    """Name what runs share that differ in their seed alone."""
    return _key(config, OF_A_RUN)


def _key(config: TrainConfig, without: Sequence[str]) -> str:
    options = {k: v.resolve() if isinstance(v, Path) else v for k, v in asdict(config).items()}
    return repr({name: value for name, value in options.items() if name not in without})


def _why_alone(config: TrainConfig) -> str:
    if config.train != "head":
        return f"train: {config.train}; only a head is trained with others"
    if find_launcher():
        return "a launcher started this process"
    plain = TrainConfig()
    needed = ("cache_features", "devices", "nodes", "accumulate", "precision", "compile", "tensorboard")
    for name in (*needed, "resume", "second_order"):
        if getattr(config, name) != getattr(plain, name):
            default = getattr(plain, name)
            return f"{name}: {getattr(config, name)}; runs that learn together have {default}"
    return ""


def without_method(config: TrainConfig) -> TrainConfig:
    """Give the options of a run without those of its method: of plain training."""
    plain = TrainConfig()
    options = {name: getattr(plain, name) for name in OF_A_METHOD}
    return replace(config, **{**options, "method": "baseline"})
