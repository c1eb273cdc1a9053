"""What a trained run needs to look at images again: the images, its features, its cells, a device."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

import torch

from lookright.config import DataConfig, TrainConfig
from lookright.data import AnnotationSet, ExplanationDataset
from lookright.data.shards import find_shards, read_shard_items
from lookright.data.stream import Images
from lookright.engine.features import FeatureStore
from lookright.engine.run_data import make_dataset, read_data
from lookright.engine.streaming import make_stream
from lookright.engine.trained_run import ExplainedClassifier, TrainedRun
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.errors import ConfigError, DataError
from lookright.explainers import CellEvidence, Explainer, LayerExplainer
from lookright.models import apply_scope
from lookright.types import Task

log = logging.getLogger("lookright")


def images_of(
    run: TrainedRun,
    split: str,
    config: DataConfig,
    options: TrainConfig | None = None,
    *,
    negatives: bool = False,
) -> tuple[AnnotationSet, Images]:
    """Give a split of a data folder, or of shards, as a trained network wants it.

    Args:
        run: whose network
        split: which images
        config: where they are
        options: how they are made; by default as the run says
        negatives: derive negative marks where the options say so

    Returns:
        what the images are, in any order, and the images

    Raises:
        ConfigError, DataError: no such data or split, another task, or a class that the run does not know.
    """
    options = run.config if options is None else options
    index = find_shards(config)
    if index is None:
        found = matching(read_data(config), run).split(split)
        return found, make_dataset(found, run.classifier, options, negatives=negatives)
    matching(AnnotationSet(index.root, index.classes, (), task=index.task), run)
    items = read_shard_items(index, split)
    stream = make_stream(index, split, run.classifier, options, negatives=negatives, classes=run.classes)
    return AnnotationSet(index.root, run.classes, items, task=index.task), stream


def matching(annotation_set: AnnotationSet, run: TrainedRun) -> AnnotationSet:
    """Bring a data set's labels to the order in which the run knows its classes.

    Raises:
        DataError: another task, or a class that the run does not know.
    """
    if annotation_set.task is not run.output.task:
        raise DataError(
            f"{annotation_set.root}: its labels are for a {annotation_set.task.value} task, the run was "
            f"trained for a {run.output.task.value} one; evaluate it on data of its own task"
        )
    if annotation_set.classes == run.classes:
        return annotation_set
    unknown = sorted(set(annotation_set.classes) - set(run.classes))
    if unknown:
        raise DataError(
            f"{annotation_set.root}: the run knows the classes {', '.join(run.classes)}, "
            f"not {', '.join(unknown)}; name the class folders alike"
        )
    index = {name: i for i, name in enumerate(run.classes)}
    to = [index[name] for name in annotation_set.classes]
    items = tuple(
        replace(
            item,
            label=to[item.label] if item.label >= 0 else item.label,
            labels=tuple(sorted(to[label] for label in item.labels)),
            marks_by_class={to[label]: marks for label, marks in item.marks_by_class.items()},
        )
        for item in annotation_set.items
    )
    return replace(annotation_set, classes=run.classes, items=items)


def stored_trunk(
    run: TrainedRun,
    explainers: Iterable[Explainer],
    dataset: Images,
    store: FeatureStore | None = None,
) -> FrozenTrunk | None:
    """The features of the frozen part of a trained run, for images that are not mirrored.

    Args:
        run: whose network
        explainers: all that will look at it
        dataset: the images; of a stream no features are kept
        store: where the features are; by default where the run's options say, None if they say nowhere
    """
    store = FeatureStore.of(run.config) if store is None else store
    if store is None or not isinstance(dataset, ExplanationDataset):
        return None
    network = run.classifier.network
    apply_scope(network, run.config.train, image_size=run.config.image_size)
    trunk = make_trunk(run.classifier, explainers, image_size=run.config.image_size, store=store)
    return trunk if trunk is not None and trunk.fill([dataset], next(network.parameters()).device) else None


def cell_evidence(run: ExplainedClassifier) -> CellEvidence | None:
    """What every cell says for every class, where the network of a single-label run tells it exactly.

    Returns:
        None, and the log says so, if what follows the target layer is not pooling and one linear layer
    """
    if run.output.task is not Task.SINGLE_LABEL or len(run.classes) < 2:
        return None
    layer = run.explainer.layer.name if isinstance(run.explainer, LayerExplainer) else None
    try:
        return CellEvidence(run.classifier.network, layer, image_size=run.config.image_size)
    except ConfigError:
        log.info(
            "evidence outside is not told: the target layer is not followed by pooling and one linear layer"
        )
        return None


def pick_device(name: str) -> torch.device:
    """Pick the device: the named one, or the best there is.

    Raises:
        ConfigError: the named one is not there.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable_here in there.items() if usable_here))
    if not there.get(name, False):
        raise ConfigError(f"device: '{name}' is not available here; use auto or cpu")
    return torch.device(name)
