"""What an evaluation measures: performance (how well the model predicts) and reasonability (how well its
explanations agree with the annotations). docs/metrics.md defines each figure.
"""

from lookright.metrics.evidence_outside import OUTSIDE, evidence_outside, outside_cells
from lookright.metrics.faithfulness_rows import FAITHFULNESS, FAITHFULNESS_LESS_IS_BETTER, Faithfulness
from lookright.metrics.figure import Figure
from lookright.metrics.groups import group_accuracy, worst_group
from lookright.metrics.localization import (
    FIGURES,
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
from lookright.metrics.multilabel import (
    hamming_accuracy,
    macro_f1,
    mean_average_precision,
    micro_f1,
    multilabel_performance,
    per_class_multilabel,
)
from lookright.metrics.performance import (
    accuracy,
    auroc,
    balanced_accuracy,
    per_class_accuracy,
    performance,
)
from lookright.metrics.reasonability import Cell, ReasonabilityMatrix, is_reasonable
from lookright.metrics.regression import mae, r2, regression_performance, rmse, spearman
from lookright.metrics.summary import PerImage, summarize
from lookright.metrics.task_summary import (
    DECISIVE,
    multilabel_rows,
    performance_of,
    regression_rows,
    summarize_multilabel,
    summarize_regression,
)

__all__ = [
    "DECISIVE",
    "FAITHFULNESS",
    "FAITHFULNESS_LESS_IS_BETTER",
    "FIGURES",
    "OUTSIDE",
    "Cell",
    "Faithfulness",
    "Figure",
    "PerImage",
    "ReasonabilityMatrix",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "binarize",
    "energy_pointing_game",
    "evidence_outside",
    "f1",
    "group_accuracy",
    "hamming_accuracy",
    "iou",
    "is_reasonable",
    "localization",
    "macro_f1",
    "mae",
    "mean_average_precision",
    "micro_f1",
    "multilabel_performance",
    "multilabel_rows",
    "outside_cells",
    "per_class_accuracy",
    "per_class_multilabel",
    "performance",
    "performance_of",
    "pointing_game",
    "precision",
    "r2",
    "recall",
    "regression_performance",
    "regression_rows",
    "rescale",
    "rmse",
    "spearman",
    "summarize",
    "summarize_multilabel",
    "summarize_regression",
    "worst_group",
]
