"""Losses that take weight off the prediction of the images whose explanation they supervise."""

from __future__ import annotations

import torch
from torch import Tensor

from lookright.errors import ConfigError
from lookright.losses.base import LossInputs, LossResult, has_positive
from lookright.losses.pointwise import Pointwise
from lookright.losses.reduce import global_mean
from lookright.types import REASONABLE_IOU

# [reasonable][accurate] -> weights of prediction and explanation
_WEIGHTS = (((1.0, 1.0), (0.4, 1.6)), ((0.8, 0.2), (1.0, 0.0)))


class GRADIA(Pointwise):
    r"""L1 distance between the explanation and the positive annotation (GRADIA: Gao et al., CSCW 2022).

        L = mean_ij |M_ij - F+_ij|

    Every unmarked cell counts as 0: by this loss's definition what nobody marked is irrelevant. An image
    that has only negative marks is pulled to 0 everywhere. A graded mark is the height that M shall have, or
    with --combine agreement the weight of its cell.

    With `reasonability` each annotated image has two weights, (prediction, explanation): reasonable and
    accurate (1, 0), reasonable and inaccurate (0.8, 0.2), unreasonable and accurate (0.4, 1.6), unreasonable
    and inaccurate (1, 1). Accurate: the largest logit is that of the label. Reasonable: the IoU of M > 0.5
    and F+ is at least 0.5, which stands in for the people whom the authors asked. Without a positive mark
    there is no IoU, and the weights are (1, 1).

    Args:
        reasonability: weigh the images by the reasonability matrix; False is GRADIA as the RES paper compares
            with it

    Raises:
        ConfigError: `reasonability` without logits or without one label per image.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> GRADIA()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.5000)
    """

    paper = "GRADIA: Gao et al., CSCW 2022"
    uses = "positive"
    counts_unmarked = True
    differs = (
        "weights by reasonability are an option, and are found at each step by the IoU with the marks, where "
        "the authors asked people once, before fine-tuning"
    )

    matrix: Tensor

    def __init__(self, *, reasonability: bool = False) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.tensor(_WEIGHTS), persistent=False)
        self.reasonability = reasonability
        self.needs_softmax = reasonability

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Absolute difference, (B, 1, h, w)."""
        return (explanation - target).abs()

    def compute(self, inputs: LossInputs) -> LossResult:
        """Weigh the images, if that is asked for."""
        if not self.reasonability:
            return super().compute(inputs)
        prediction, attention = self.weights(inputs).unbind(dim=1)
        values = attention * self.per_sample(inputs.explanation, inputs.annotation)
        return LossResult(global_mean(values, inputs.annotated), prediction_weight=prediction)

    def weights(self, inputs: LossInputs) -> Tensor:
        """Give the weights of prediction and explanation by the reasonability matrix, (B, 2)."""
        logits, label = inputs.logits, inputs.label
        if logits is None or label is None:
            raise ConfigError("logits, label: missing; GRADIA(reasonability=True) needs both")
        if label.ndim != 1 or label.is_floating_point():
            raise ConfigError("label: GRADIA(reasonability=True) needs one class per image, (B,) int64")
        shown, drawn = inputs.explanation > 0.5, inputs.annotation > 0
        shared, either = ((shown & drawn).flatten(1).sum(dim=1), (shown | drawn).flatten(1).sum(dim=1))
        reasonable = shared / either.clamp(min=1) >= REASONABLE_IOU
        accurate = logits.argmax(dim=1) == label
        weights = self.matrix.to(inputs.explanation)[reasonable.long(), accurate.long()]
        return weights.where(has_positive(inputs.annotation)[:, None], torch.ones_like(weights))


class CYBORG(Pointwise):
    r"""Squared distance to a human map, in exchange for the prediction (CYBORG: Boyd et al., WACV 2023).

        L = (1 - alpha) mean_ij (M_ij - F+_ij)^2,   the cross-entropy of the image being weighed by alpha

    Made for graded maps of where people look; every unmarked cell counts as 0. An image without a positive
    mark has no human map: it contributes 0 and keeps the full weight of its prediction. The paper's M is the
    class activation map (--explainer cam); behind global average pooling and a linear layer Grad-CAM is that
    map up to its scale, which min-max removes, and it is there for other networks too. With weights by ratio
    of gradients, the default, map and weighed prediction pull equally; --weighting fixed is the paper's sum.

    Args:
        alpha: share of the prediction, in [0, 1]

    Raises:
        ConfigError: alpha out of its range.

    Shapes:
        explanation (B, 1, h, w) in [0, 1], annotation (B, 1, H, W) -> scalar >= 0

    Example:
        >>> result = CYBORG().evaluate(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
        >>> result.value, result.prediction_weight
        (tensor(0.2500), tensor([0.5000]))
    """

    paper = "CYBORG: Boyd et al., WACV 2023"
    uses = "positive"
    counts_unmarked = True
    differs = "the authors' code explains the predicted class (--explain predicted), by --explainer cam"
    needs_positive = True

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha: got {alpha}, need a number in [0, 1]")
        self.alpha = alpha

    def cells(self, explanation: Tensor, target: Tensor) -> Tensor:
        """Squared difference, (B, 1, h, w)."""
        return (explanation - target).square()

    def compute(self, inputs: LossInputs) -> LossResult:
        """Share each image between prediction and explanation."""
        values = (1 - self.alpha) * self.per_sample(inputs.explanation, inputs.annotation)
        weight = torch.ones_like(values.detach())
        weight = weight.masked_fill(has_positive(inputs.annotation), self.alpha)
        return LossResult(global_mean(values, inputs.annotated), prediction_weight=weight)
