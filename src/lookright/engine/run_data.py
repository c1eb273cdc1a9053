"""The images of a run: read, chosen, and as its network wants them."""

from __future__ import annotations

import warnings
from dataclasses import replace

from lookright.config import DataConfig, TrainConfig
from lookright.data import (
    AnnotationSet,
    ExplanationDataset,
    Isolation,
    choose_subsets,
    read_annotations,
)
from lookright.data.shards import ShardIndex
from lookright.data.stream import Images
from lookright.engine.streaming import make_stream
from lookright.engine.tasks import Data, Output
from lookright.errors import ConfigError, DataError, LookrightWarning
from lookright.models import (
    Classifier,
)
from lookright.types import Task


def read_data(config: DataConfig) -> AnnotationSet:
    """Read what the options name; warn of what is wrong with it but can be lived with.

    Raises:
        DataError: it cannot be used.
    """
    annotation_set = read_annotations(config)
    check_classes(annotation_set)
    warn_of_problems(annotation_set)
    return annotation_set


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


def check_classes(data: Data) -> None:
    """Refuse a classification of one class.

    Raises:
        DataError: there is one.
    """
    if data.task is Task.SINGLE_LABEL and len(data.classes) < 2:
        raise DataError(
            f"{data.root}: found {len(data.classes)} class; a classifier needs two or more folders "
            "images/<class>/"
        )


def refuse_stream(config: TrainConfig, **needs_folder: bool) -> None:
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
