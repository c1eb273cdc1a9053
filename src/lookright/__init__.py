"""lookright trains image classifiers to look at the right place.

>>> from lookright import GradCAM, RES  # the pieces for a loop of one's own
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookright.config import DataConfig, TrainConfig
    from lookright.engine.supervised import SupervisedModel
    from lookright.engine.train import train
    from lookright.explainers import CAM, Explainer, GradCAM
    from lookright.losses import (
        GRADIA,
        HAICS,
        RES,
        Evidence,
        ExplanationLoss,
        Objective,
        SoftIoU,
        Term,
        adaptive_threshold,
    )
    from lookright.types import Batch, Explained, Normalization, Request, Rows, Sample, Score, Target, Task

    __version__: str

_HOMES = {
    "lookright.config": ("DataConfig", "TrainConfig"),
    "lookright.engine.supervised": ("SupervisedModel",),
    "lookright.engine.train": ("train",),
    "lookright.explainers": ("CAM", "Explainer", "GradCAM"),
    "lookright.losses": (
        "GRADIA",
        "HAICS",
        "RES",
        "Evidence",
        "ExplanationLoss",
        "Objective",
        "SoftIoU",
        "Term",
        "adaptive_threshold",
    ),
    "lookright.types": (
        "Batch",
        "Explained",
        "Normalization",
        "Request",
        "Rows",
        "Sample",
        "Score",
        "Target",
        "Task",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CAM",
    "GRADIA",
    "HAICS",
    "RES",
    "Batch",
    "DataConfig",
    "Evidence",
    "Explained",
    "Explainer",
    "ExplanationLoss",
    "GradCAM",
    "Normalization",
    "Objective",
    "Request",
    "Rows",
    "Sample",
    "Score",
    "SoftIoU",
    "SupervisedModel",
    "Target",
    "Task",
    "Term",
    "TrainConfig",
    "adaptive_threshold",
    "train",
]


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, and asking for the version a tenth of one: both wait until needed.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("lookright")
    raise AttributeError(f"module 'lookright' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
