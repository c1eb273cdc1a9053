"""Options of a run that cannot work."""

from __future__ import annotations

import math

from lookright.config import TrainConfig
from lookright.engine.board import find_writer
from lookright.engine.option_kinds import wrong_kinds
from lookright.errors import ConfigError
from lookright.losses import RES, ExplanationLoss, build_objective, parse_method

_ANY_STRIDE = 32
"""of imputers that are made only to see what they are"""


def check_options(config: TrainConfig) -> None:
    """Check the options, all at once: first whether each is of its kind, which Python does not ask.

    Raises:
        ConfigError: every option that is of another kind, or out of its range.
    """
    if wrong := wrong_kinds(config):
        raise ConfigError("; ".join(wrong))
    if config.data is None:
        wrong.append("data: missing; give the folder of your images")
    if config.out is None:
        wrong.append("out: missing; give the run folder to write")
    for name in ("epochs", "validate_every", "batch_size", "accumulate", "devices", "nodes", "image_size"):
        if getattr(config, name) < 1:
            wrong.append(f"{name}: got {getattr(config, name)}, need 1 or more")
    for name in ("annotated_per_class", "train_per_class", "patience"):
        value = getattr(config, name)
        if value is not None and value < (0 if name == "annotated_per_class" else 1):
            wrong.append(f"{name}: got {value}, need a positive number")
    not_negative = ("explanation_weight", "slack", "regularizer", "overlap", "weight_decay", "cache_gb")
    for name in (*not_negative, "workers", "seed"):
        if not 0 <= getattr(config, name) < math.inf:  # which NaN fails as well
            wrong.append(f"{name}: got {getattr(config, name)}, need 0 or more")
    if not 0 < config.lr < math.inf:
        wrong.append(f"lr: got {config.lr}, need more than 0")
    for name in ("warmup", "explanation_warmup"):
        if not 0 <= getattr(config, name) <= 1:
            wrong.append(f"{name}: got {getattr(config, name)}, need a share in [0, 1]")
    if config.tensorboard:
        try:
            find_writer()
        except ConfigError as error:
            wrong.append(str(error))
    wrong += _combinations(config)
    if wrong:
        raise ConfigError("; ".join(wrong))


def _combinations(config: TrainConfig) -> list[str]:
    """What a method does not go together with; what is wrong in itself, who makes its parts says."""
    try:
        names = [part.name for part in parse_method(config)]
        several = config.devices * config.nodes > 1
        terms = build_objective(config, stride=_ANY_STRIDE).terms if several else ()
    except ConfigError:
        return []
    wrong = []
    if config.compile and "exchange" in names:
        wrong.append(
            "compile: the method exchange changes features inside what would be compiled; leave out "
            "--compile, or use another method"
        )
    if any(_learns_nothing(term.loss) for term in terms):
        wrong.append(
            "stop_gradient: needs a regularizer with several devices: the imputer learns from it alone, and "
            "they wait for a gradient of every weight; add --regularizer 1, say"
        )
    return wrong


def _learns_nothing(loss: ExplanationLoss) -> bool:
    """Whether a loss has weights that its value does not depend on."""
    if not isinstance(loss, RES):
        return False
    return loss.stop_gradient and not loss.regularizer and any(True for _ in loss.imputer.parameters())
