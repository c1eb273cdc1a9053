"""Training and evaluation on shards: what a run needs of them."""

from __future__ import annotations

import warnings

from lookright.config import TrainConfig
from lookright.data.shards import ShardIndex
from lookright.data.stream import ShardedDataset, StreamLoader
from lookright.errors import LookrightWarning
from lookright.models import Classifier


def make_stream(
    index: ShardIndex,
    split: str,
    classifier: Classifier,
    config: TrainConfig,
    *,
    augment: bool = False,
    negatives: bool = False,
    classes: tuple[str, ...] | None = None,
) -> ShardedDataset:
    """Make the stream of a split, as the classifier wants its images.

    Args:
        index: of the shards
        split: which images
        classifier: what they are for
        config: the options
        augment: shuffle, mirror at random; make annotations rough and derive negative marks where the
            options say so
        negatives: derive them alone
        classes: as the classifier knows them, if not as the shards do

    Raises:
        DataError: no shard is of that split.
    """
    return ShardedDataset(
        index,
        split,
        image_size=config.image_size,
        mean=classifier.mean,
        std=classifier.std,
        flip=augment and config.flip,
        seed=config.seed,
        negatives_outside=config.negatives_outside if augment or negatives else None,
        corrupt=config.corrupt if augment else None,
        shuffle=augment,
        classes=classes,
    )


def check_stream(train: ShardedDataset, config: TrainConfig) -> None:
    """Check before training that every process gets its batches; say what does not work on a stream.

    Raises:
        ConfigError: fewer shards than processes, or shards of too different sizes.
    """
    StreamLoader(train.part(0, config.devices * config.nodes), config.batch_size)
    if config.cache_features and config.cache_dir is not None:
        warnings.warn(
            "cache_dir: of images that are streamed no features are kept; every step runs the whole network",
            LookrightWarning,
            stacklevel=3,
        )
