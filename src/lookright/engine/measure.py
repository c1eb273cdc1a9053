"""Any run measured by any method: the method's own explanation loss on images that were not trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from lookright.engine.channels_last import place
from lookright.engine.features import FeatureStore
from lookright.engine.loading import load_batches
from lookright.engine.run_images import images_of, stored_trunk
from lookright.engine.run_objective import make_objective
from lookright.engine.supervised import SupervisedModel
from lookright.engine.trained_run import open_run
from lookright.errors import ConfigError, DataError
from lookright.models import apply_scope
from lookright.models.modes import evaluating


def measure(
    path: Path,
    method: str | None = None,
    *,
    split: str = "test",
    gradient_at: str | None = None,
    negatives_outside: float | None = None,
    batch_size: int = 32,
    store: FeatureStore | None = None,
) -> float:
    """Mean explanation loss of a method over the annotated images of a split, for the network of a run.

    What a method minimises, measured on a run that was trained by another (or by none), says what training
    with the method changed by the method's own measure. Losses that pool do so over batches of `batch_size`
    images in the order of the data set. A learned imputer is not part of a run's best checkpoint: RES-L is
    measured by res-g.

    Args:
        path: the run folder
        method: as the option `method`; the run's own if None
        split: which images
        gradient_at: as the option; the run's own if None
        negatives_outside: as the option, for these images too; the run's own if None
        batch_size: images at a time
        store: features of the frozen part that runs share; by default those that the run's options name

    Returns:
        the unweighted loss; of a sum of methods, the sum of the parts

    Raises:
        CheckpointError, DataError: no such run or split; no image of the split is annotated.
        ConfigError: the method supervises no explanation, or does not fit the network or the run's task.

    Example:
        >>> import tempfile
        >>> from lookright.data import write_decoy_digits
        >>> from lookright.config import TrainConfig
        >>> from lookright.engine.train import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "all", "image_size": 32}
        ...     run = train(TrainConfig(data=data, out=Path(folder, "run"), epochs=1, **network)).path
        ...     0 < measure(run, "gradia") < 1
        True
    """
    run = open_run(path)
    config = replace(
        run.config,
        method=run.config.method if method is None else method,
        gradient_at=run.config.gradient_at if gradient_at is None else gradient_at,
        negatives_outside=(run.config.negatives_outside if negatives_outside is None else negatives_outside),
    )
    network = place(run.classifier.network, "cpu")
    apply_scope(network, config.train, image_size=config.image_size)
    objective = make_objective(config, run.classifier, run.explainer, run.output.task)
    if not objective.terms:
        raise ConfigError(f"method: {config.method} supervises no explanation: there is nothing to measure")
    images, dataset = images_of(run, split, config, config, negatives=True)
    model = SupervisedModel(network, run.explainer, objective)
    model.trunk = stored_trunk(run, model.explainers.values(), dataset, store)
    total = count = 0.0
    with evaluating(model), torch.no_grad():
        for batch in load_batches(dataset, batch_size):
            annotated = float(batch.annotated.sum())
            total += annotated * float(sum(model(batch).explanation_losses))
            count += annotated
    if not count:
        raise DataError(f"{images.root}: no image of the split {split} is annotated: nothing to measure on")
    return total / count
