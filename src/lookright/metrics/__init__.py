"""What an evaluation measures: performance (how well the model predicts) and reasonability (how well its
explanations agree with the annotations). docs/metrics.md defines each figure.
"""

from lookright.metrics.figure import Figure
from lookright.metrics.groups import group_accuracy, worst_group
from lookright.metrics.localization import (
    binarize,
    energy_pointing_game,
    f1,
    iou,
    localization,
    pointing_game,
    precision,
    recall,
    rescale,
)
from lookright.metrics.performance import (
    accuracy,
    auroc,
    balanced_accuracy,
    per_class_accuracy,
    performance,
)
from lookright.metrics.reasonability import Cell, ReasonabilityMatrix, is_reasonable
from lookright.metrics.summary import PerImage, summarize

__all__ = [
    "Cell",
    "Figure",
    "PerImage",
    "ReasonabilityMatrix",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "binarize",
    "energy_pointing_game",
    "f1",
    "group_accuracy",
    "iou",
    "is_reasonable",
    "localization",
    "per_class_accuracy",
    "performance",
    "pointing_game",
    "precision",
    "recall",
    "rescale",
    "summarize",
    "worst_group",
]
