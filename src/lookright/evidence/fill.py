"""Features that many runs of a grid need, computed once before them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from lookright.config import TrainConfig
from lookright.data.shards import is_sharded
from lookright.engine.channels_last import place
from lookright.engine.run_data import choose, make_dataset
from lookright.engine.run_images import pick_device
from lookright.engine.setup import make_classifier
from lookright.engine.trunk import make_trunk
from lookright.errors import LookrightError
from lookright.evidence.shared import Shared
from lookright.explainers import make_explainer
from lookright.models import apply_scope

log = logging.getLogger("lookright")

_SAME = (
    *("data", "annotations", "format", "positive_categories", "negative_categories", "image_size"),
    *("backbone", "weights", "start", "train", "explainer", "target_layer", "accelerator"),
    *("cache_dir", "cache_gb"),
)
"""options that features depend on"""


def features_key(config: TrainConfig) -> str | None:
    """Name what runs share whose features are the same; None where there are none on disk."""
    drawn = config.weights == "none" and config.start is None  # another frozen part for each seed
    if not config.cache_features or not config.cache_gb or config.train == "all" or drawn:
        return None
    return None if is_sharded(config) else repr([getattr(config, name) for name in _SAME])


def fill_features(configs: Sequence[TrainConfig], shared: Shared) -> None:
    """Compute the features of all images that runs will train on or be evaluated on.

    What is wrong with their options is left for them to say.

    Args:
        configs: runs of one `features_key`
        shared: where the features go
    """
    try:
        _fill(configs, shared)
    except LookrightError as error:
        log.info("features are not computed before the runs: %s", error)


def _fill(configs: Sequence[TrainConfig], shared: Shared) -> None:
    first = configs[0]
    everything = shared.read(first)
    classifier, _ = make_classifier(first, everything)
    explainer = make_explainer(
        first.explainer, classifier.network, first.target_layer, image_size=first.image_size
    )
    apply_scope(classifier.network, first.train, image_size=first.image_size)
    trunk = make_trunk(classifier, [explainer], image_size=first.image_size, store=shared.store(first))
    if trunk is None:
        return
    draws = {(c.seed, c.annotated_per_class, c.train_per_class): c for c in configs}
    trained_on = {
        item.id: item for config in draws.values() for item in choose(everything, config).split("train").items
    }
    train = replace(everything, items=tuple(trained_on[id] for id in sorted(trained_on)))
    mirrored = any(config.flip for config in configs)
    sets = [make_dataset(train, classifier, replace(first, flip=mirrored, corrupt=None), augment=True)]
    sets += [
        make_dataset(everything.split(split), classifier, first)
        for split in everything.splits
        if split != "train"
    ]
    device = pick_device(first.accelerator)
    place(classifier.network, device)
    trunk.fill(sets, device)
