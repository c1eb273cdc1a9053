"""The objective of a run, placed on its network and tried out there."""

from __future__ import annotations

from dataclasses import replace

from lookright.config import TrainConfig
from lookright.engine.frozen_units import frozen_units
from lookright.engine.tasks import check_fits
from lookright.engine.trial import find_stride, try_out
from lookright.errors import ConfigError
from lookright.explainers import Explainer
from lookright.losses import Objective, build_objective
from lookright.models import (
    Classifier,
    find_stages,
)
from lookright.models.trace import placement
from lookright.types import Task


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
