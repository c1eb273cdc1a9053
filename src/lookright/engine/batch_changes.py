"""What a method does beside its losses: to batches, features, annotations and views of images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar, cast

from lookright.config import TrainConfig
from lookright.data import Counterexamples, Isolation
from lookright.engine.boundary import find_boundary
from lookright.engine.completion import Completion
from lookright.engine.exchange import BackgroundExchange, exchanging
from lookright.errors import ConfigError, LookrightWarning
from lookright.losses import parse_method, spell_out
from lookright.models import Classifier
from lookright.plugins import make
from lookright.types import Batch, Task

Made = TypeVar("Made", Counterexamples, BackgroundExchange, Completion, Isolation)


def make_counterexamples(config: TrainConfig) -> Counterexamples | None:
    """Make what adds images to the batches, if the method says so.

    Raises:
        ConfigError: an option that is not there or out of its range, a weight, or twice the same.
    """
    return _sole_part(config, "ce", Counterexamples)


def make_exchange(config: TrainConfig) -> BackgroundExchange | None:
    """Make what exchanges features between images, if the method says so.

    Raises:
        ConfigError: an option that is not there or out of its range, a weight, or twice the same.
    """
    return _sole_part(config, "exchange", BackgroundExchange)


def make_isolation(config: TrainConfig, task: Task) -> Isolation | None:
    """Make what isolates training images, if the method says so.

    Raises:
        ConfigError: an option that is not there or out of its range, a weight, or twice the same; images have
            several annotated classes.
    """
    isolation = _sole_part(config, "isolate", Isolation)
    if isolation is not None:
        _refuse_several_classes("isolate", task)
    return isolation


def make_completion(config: TrainConfig, task: Task) -> Completion | None:
    """Make what completes annotations before training, if the method says so.

    Raises:
        ConfigError: an option that is not there or out of its range, a weight, or twice the same; images have
            several annotated classes.
    """
    completion = _sole_part(config, "complete", Completion)
    if completion is None:
        return None
    if task is Task.MULTI_LABEL:
        raise ConfigError(
            "method: complete needs one annotation per image: which of several classes an unmarked cell "
            "speaks for, features do not tell; use another method"
        )
    if len(parse_method(config)) == 1:
        warnings.warn(
            f"method: {config.method} alone trains like baseline: no loss uses the annotations that it "
            "completes; add one, complete + evidence say",
            LookrightWarning,
            stacklevel=3,
        )
    return completion


def _sole_part(config: TrainConfig, name: str, kind: type[Made]) -> Made | None:
    """Make the part of a method that changes batches and is no loss."""
    found = [part for part in parse_method(config) if part.name == name]
    if not found:
        return None
    if len(found) > 1 or found[0].weight != 1:
        meant = spell_out(config)
        names = "" if meant == config.method else f"; {config.method} means {meant}"
        raise ConfigError(
            f"method: {name} is no loss: it stands once and without a weight; how much it does is "
            f"said in parentheses (lookright methods {name}){names}"
        )
    return cast(Made, make("method", kind, found[0].options, name=name))


def bind_exchange(
    exchange: BackgroundExchange, config: TrainConfig, classifier: Classifier, task: Task
) -> Callable[[Batch], AbstractContextManager[None]]:
    """Find where features are exchanged in a network.

    Raises:
        ConfigError: the network has no such place, or images have several annotated classes.
    """
    _refuse_several_classes("exchange", task)
    boundary = find_boundary(classifier.network, config.train, image_size=config.image_size)
    return partial(exchanging, exchange, classifier.network, boundary)


def _refuse_several_classes(name: str, task: Task) -> None:
    if task is Task.MULTI_LABEL:
        raise ConfigError(
            f"method: {name} needs one class per image: what is outside for one can be inside for another"
        )
