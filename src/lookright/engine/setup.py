"""From options to everything that a run needs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from lookright.config import TrainConfig
from lookright.data import (
    Counterexamples,
)
from lookright.data.corrupt import parse_corruption
from lookright.data.shards import ShardIndex, find_shards
from lookright.data.stream import Images, ShardedDataset
from lookright.engine.annotation_check import Supervision, check_annotations
from lookright.engine.batch_changes import (
    bind_exchange,
    make_completion,
    make_counterexamples,
    make_exchange,
    make_isolation,
)
from lookright.engine.boundary import Boundary, find_boundary
from lookright.engine.completion import Completion
from lookright.engine.loading import share_out
from lookright.engine.option_check import check_options
from lookright.engine.run_data import check_classes, choose, make_images, read_data, refuse_stream
from lookright.engine.run_objective import make_objective
from lookright.engine.streaming import check_stream
from lookright.engine.tasks import PLAIN, Data, Output, count_outputs
from lookright.engine.trained_run import start_from
from lookright.errors import ConfigError, LookrightWarning
from lookright.explainers import Explainer, make_explainer
from lookright.losses import Objective, parse_method
from lookright.models import (
    Classifier,
    Scope,
    apply_scope,
    create,
)
from lookright.types import Batch


@dataclass(frozen=True)
class Setup:
    """The parts of a training run."""

    classes: tuple[str, ...]
    """names in the order of their labels"""
    train: Images
    val: Images | None
    classifier: Classifier
    explainer: Explainer
    scope: Scope
    objective: Objective
    freeze_batchnorm: bool
    counterexamples: Counterexamples | None = None
    """added to every training batch"""
    exchange: Callable[[Batch], AbstractContextManager[None]] | None = None
    """the context in which the network is trained on a batch, where a method exchanges features"""
    output: Output = PLAIN
    """what the network's outputs mean"""
    completion: Completion | None = None
    """completes the annotations of `train` before training"""
    boundary: Boundary | None = None
    """whose maps it completes them from"""
    annotated_images: int = 0
    """training images that people have annotated"""
    completed: Mapping[str, float] | None = None
    """what was found out when annotations were completed"""


def set_up(config: TrainConfig) -> Setup:
    """Read the data and make network, explainer and objective; everything wrong is said before training.

    Raises:
        ConfigError, DataError, CheckpointError: what is wrong, and what to do.
    """
    check_options(config)
    parse_method(config)
    if config.corrupt is not None:
        parse_corruption(config.corrupt)
    shards = find_shards(config)
    if shards is not None:
        check_classes(shards)
    data = choose(read_data(config), config) if shards is None else shards
    classifier, output = make_classifier(config, data)
    explainer = make_explainer(
        config.explainer,
        classifier.network,
        config.target_layer,
        second_order=config.second_order,
        image_size=config.image_size,
    )
    scope = apply_scope(classifier.network, config.train, image_size=config.image_size)
    completion, isolation = make_completion(config, output.task), make_isolation(config, output.task)
    if isinstance(data, ShardIndex):
        refuse_stream(config, complete=completion is not None, isolate=isolation is not None)
    train = make_images(data, "train", classifier, config, output, isolation)
    if isinstance(train, ShardedDataset):
        check_stream(train, config)
    share_out(train, config, world_size=config.devices * config.nodes)  # or refuse
    objective = make_objective(config, classifier, explainer, output.task, images=len(train))
    counterexamples, exchange = make_counterexamples(config), make_exchange(config)
    exchanges, boundary = None, None
    if exchange is not None:
        exchanges = bind_exchange(exchange, config, classifier, output.task)
    if completion is not None:
        boundary = find_boundary(classifier.network, config.train, image_size=config.image_size)
    changes = (isolation, counterexamples, exchange, completion)
    supervision: list[Supervision] = [term.loss for term in objective.terms]
    supervision += [change for change in changes if change is not None]
    check_annotations(config.method, supervision, train)
    val = None
    if "val" in data.splits:
        val = make_images(data, "val", classifier, config, output)
        if config.best in ("reasonability", "both") and not val.annotated_images:
            raise ConfigError(
                f"best: {config.best} needs annotated validation images, and none of the {len(val)} is; "
                "annotate some, or use --best performance"
            )
    elif config.best != "last":
        warnings.warn(
            "no image is in the split val, so the last epoch is kept instead of the best one",
            LookrightWarning,
            stacklevel=2,
        )
    freeze_batchnorm = config.batchnorm == "frozen" or (config.batchnorm == "auto" and bool(scope.frozen))
    return Setup(
        data.classes,
        train,
        val,
        classifier,
        explainer,
        scope,
        objective,
        freeze_batchnorm,
        counterexamples,
        exchanges,
        output,
        completion,
        boundary,
        train.annotated_images,
    )


def make_classifier(config: TrainConfig, data: Data) -> tuple[Classifier, Output]:
    """Make the network of a run, its weights drawn by the seed; and say what its outputs mean.

    Args:
        config: the options
        data: what it learns from

    Raises:
        ConfigError, CheckpointError: a network that there is not, or weights that do not fit it.
    """
    torch.manual_seed(config.seed)
    classifier = create(
        config.backbone,
        num_classes=count_outputs(data),
        weights="none" if config.start else config.weights,
        image_size=config.image_size,
    )
    if not config.start:
        return classifier, Output.of(data)
    output = start_from(classifier, config.start, data)
    return replace(classifier, weights=f"{config.start}: all, head included"), output
