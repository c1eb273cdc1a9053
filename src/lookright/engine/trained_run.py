"""A network that was trained before: opened from its run folder, or where a new run starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from lookright.config import TrainConfig
from lookright.engine.checkpoint import fact, load_checkpoint, stripped
from lookright.engine.run_folder import RunFolder
from lookright.engine.tasks import PLAIN, Data, Output
from lookright.errors import CheckpointError
from lookright.explainers import Explainer, make_explainer
from lookright.models import Classifier, create, load_exactly, read_weights
from lookright.types import Task


@dataclass(frozen=True, kw_only=True)
class ExplainedClassifier:
    """A classifier that is trained, and what explains it."""

    config: TrainConfig
    """its options; of a network that was not trained here, those that say how images reach it"""
    classes: tuple[str, ...]
    classifier: Classifier
    explainer: Explainer
    output: Output = PLAIN
    """what the network's outputs mean"""


@dataclass(frozen=True, kw_only=True)
class TrainedRun(ExplainedClassifier):
    """A run as its checkpoint gives it back."""

    folder: RunFolder


def start_from(classifier: Classifier, source: Path, data: Data) -> Output:
    """Load a classifier that the user already has: weights of the whole network, head included.

    Args:
        classifier: receives the weights
        source: a weight file, or a run folder, whose task and class names must be those of the data
        data: what it is to learn from

    Returns:
        what its outputs mean: as in that run; a number from a weight file is taken as it is

    Raises:
        CheckpointError: another network, another task, other classes, or a damaged file.
    """
    if not source.is_dir():
        load_exactly(classifier.network, read_weights(source), str(source))
        return Output(data.task)
    folder = RunFolder(source)
    tensors, facts = load_checkpoint(folder.best)
    theirs, classes = tuple(fact(facts, "classes", folder.best, list)), data.classes
    output = Output.from_facts(facts)
    if output.task is not data.task:
        raise CheckpointError(
            f"from: {source} was trained for a {output.task.value} task, the data is for a "
            f"{data.task.value} one; start from --weights"
        )
    if theirs != classes:
        raise CheckpointError(
            f"from: {source} knows the classes {', '.join(theirs)}; the data has {', '.join(classes)}; "
            "name the class folders alike, or start from --weights"
        )
    load_exactly(classifier.network, stripped("network", tensors), str(folder.best))
    return output


def open_run(path: Path) -> TrainedRun:
    """Rebuild a trained network from its run folder.

    Raises:
        CheckpointError: no run, no checkpoint yet, or a damaged one.
    """
    folder = RunFolder(path)
    config = folder.config()
    tensors, facts = load_checkpoint(folder.best)
    classes, output = tuple(fact(facts, "classes", folder.best, list)), Output.from_facts(facts)
    target_layer = fact(facts, "target_layer", folder.best, str, NoneType)
    outputs = 1 if output.task is Task.REGRESSION else len(classes)
    classifier = create(config.backbone, num_classes=outputs, weights="none", image_size=config.image_size)
    load_exactly(classifier.network, stripped("network", tensors), str(folder.best))
    classifier.network.eval()
    explainer = make_explainer(
        config.explainer, classifier.network, target_layer, image_size=config.image_size
    )
    return TrainedRun(
        folder=folder,
        config=config,
        classes=classes,
        classifier=classifier,
        explainer=explainer,
        output=output,
    )
