"""From options to everything that a run needs: data, network, explainer, objective."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from lookright.config import DataConfig, TrainConfig
from lookright.data import (
    AnnotationSet,
    Counterexamples,
    ExplanationDataset,
    Isolation,
    choose_subsets,
    read_annotations,
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
from lookright.engine.frozen_units import frozen_units
from lookright.engine.loading import share_out
from lookright.engine.option_check import check_options
from lookright.engine.streaming import check_stream, make_stream
from lookright.engine.tasks import PLAIN, Data, Output, check_fits, count_outputs
from lookright.engine.trained_run import start_from
from lookright.engine.trial import find_stride, try_out
from lookright.errors import ConfigError, DataError, LookrightWarning
from lookright.explainers import Explainer, make_explainer
from lookright.losses import Objective, build_objective, parse_method
from lookright.models import (
    Classifier,
    Scope,
    apply_scope,
    create,
    find_stages,
)
from lookright.models.trace import placement
from lookright.types import Batch, Task


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
        _check_classes(shards)
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
        _refuse_stream(config, complete=completion is not None, isolate=isolation is not None)
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


def choose(annotation_set: AnnotationSet, config: TrainConfig) -> AnnotationSet:
    """Keep the training images and annotations that the options name."""
    return choose_subsets(
        annotation_set,
        seed=config.seed,
        annotated_per_class=config.annotated_per_class,
        train_per_class=config.train_per_class,
    )


def make_images(
    data: Data,
    split: str,
    classifier: Classifier,
    config: TrainConfig,
    output: Output,
    isolation: Isolation | None = None,
) -> Images:
    """Make the images of a split for a training run, those of `train` augmented and their numbers scaled.

    Args:
        data: all images
        split: which of them
        classifier: what they are for
        config: the options
        output: what the network's outputs mean
        isolation: isolates images of a folder at random
    """
    augment = split == "train"
    if isinstance(data, ShardIndex):
        return make_stream(data, split, classifier, config, augment=augment)
    part = data.split(split)
    if augment:
        part = replace(part, items=output.standardized(part.items))
    return make_dataset(part, classifier, config, augment=augment, isolation=isolation)


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


def make_objective(
    config: TrainConfig,
    classifier: Classifier,
    explainer: Explainer,
    task: Task = Task.SINGLE_LABEL,
    *,
    images: int | None = None,
) -> Objective:
    """Make the objective of a run, on the device of its network, and try it out on a blank image.

    Args:
        config: the options
        classifier: what learns of it is decided already (see `apply_scope`)
        explainer: of the run
        task: what the network predicts
        images: how many are trained on; None: they do not count

    Raises:
        ConfigError: a method does not fit the network, the task or the options.
    """
    network = classifier.network
    stages = find_stages(network, image_size=config.image_size)
    objective = build_objective(config, find_stride(explainer), stages, task=task, images=images)
    objective.to(placement(network)["device"])
    check_fits(task, [term.loss for term in objective.terms], config)
    _place_gradients(objective, config, classifier)
    try_out(objective, explainer)
    return objective


def _place_gradients(objective: Objective, config: TrainConfig, classifier: Classifier) -> None:
    """Let losses on input gradients take them at the layer that the options name."""
    layer: str | None = config.gradient_at
    concerned = [t.loss for t in objective.terms if t.loss.request.explainer == "input-gradient"]
    if layer == "image" or not concerned:
        return
    if layer == "frozen":
        units = frozen_units(classifier.network, image_size=config.image_size)
        if not units:
            raise ConfigError(
                "gradient_at: 'frozen' needs a frozen part of the network below one that learns; use --train "
                "last-stage, or name a layer"
            )
        layer = units[-1]
    for loss in concerned:
        loss.request = replace(loss.request, layer=layer)


def read_data(config: DataConfig) -> AnnotationSet:
    """Read what the options name; warn of what is wrong with it but can be lived with.

    Raises:
        DataError: it cannot be used.
    """
    annotation_set = read_annotations(config)
    _check_classes(annotation_set)
    warn_of_problems(annotation_set)
    return annotation_set


def warn_of_problems(annotation_set: AnnotationSet) -> None:
    """Warn of what is wrong with data but can be lived with: of the first, and how to see the rest."""
    if annotation_set.problems:
        first = annotation_set.problems[0]
        warnings.warn(
            f"{len(annotation_set.problems)} problem(s) in {annotation_set.root}, the first: {first.path}: "
            f"{first.what}; lookright check lists all",
            LookrightWarning,
            stacklevel=3,
        )


def _check_classes(data: Data) -> None:
    if data.task is Task.SINGLE_LABEL and len(data.classes) < 2:
        raise DataError(
            f"{data.root}: found {len(data.classes)} class; a classifier needs two or more folders "
            "images/<class>/"
        )


def _refuse_stream(config: TrainConfig, **needs_folder: bool) -> None:
    """Refuse methods that need the images of a folder, by what was asked for.

    Raises:
        ConfigError: one was.
    """
    for name, asked in needs_folder.items():
        if asked:
            raise ConfigError(
                f"method: {name} works on the images of a folder, and those of {config.data} are streamed; "
                "give the folder that was packed, or use another method"
            )


def make_dataset(
    annotation_set: AnnotationSet,
    classifier: Classifier,
    config: TrainConfig,
    *,
    augment: bool = False,
    negatives: bool = False,
    isolation: Isolation | None = None,
) -> ExplanationDataset:
    """Make the data set of a split, as the classifier wants its images.

    Args:
        annotation_set: the images
        classifier: what they are for
        config: the options
        augment: mirror at random; make annotations rough and derive negative marks where the options say so
        negatives: derive them alone
        isolation: isolates images at random
    """
    return ExplanationDataset(
        annotation_set.items,
        image_size=config.image_size,
        mean=classifier.mean,
        std=classifier.std,
        flip=augment and config.flip,
        seed=config.seed,
        num_classes=len(annotation_set.classes) if annotation_set.task is Task.MULTI_LABEL else None,
        negatives_outside=config.negatives_outside if augment or negatives else None,
        corrupt=config.corrupt if augment else None,
        isolation=isolation,
    )
