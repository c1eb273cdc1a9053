"""The values that flow through lookright, from a photo on disk to a loss.

Shapes: B images, C channels, H x W pixels, h x w cells of the explanation, K classes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Target(enum.Enum):
    """The class whose score an explanation explains."""

    LABEL = "label"
    """The true class: the one that training explains."""
    PREDICTED = "predicted"
    """The class with the largest logit: the one that evaluation explains."""


class Score(enum.Enum):
    """The scalar of an image that an explanation explains, for the class c that `Target` picks."""

    LOGIT = "logit"
    """z_c"""
    CONTRAST = "contrast"
    """z_c - mean of z_k over k != c: what the softmax can see of a logit."""


class Normalization(enum.Enum):
    """How an explanation is brought to a scale, image by image (see `lookright.normalize`)."""

    NONE = "none"
    MIN_MAX = "min-max"
    RELU_MAX = "relu-max"


@dataclass(frozen=True)
class Request:
    """Which explanation a loss or a metric needs. Losses state theirs; the explainer answers by it.

    Example:
        >>> Request()
        Request(target=<Target.LABEL: 'label'>, score=<Score.LOGIT: 'logit'>, \
normalization=<Normalization.MIN_MAX: 'min-max'>)
    """

    target: Target = Target.LABEL
    score: Score = Score.LOGIT
    normalization: Normalization = Normalization.MIN_MAX


class Explained(NamedTuple):
    """Logits and explanations of a batch, out of one forward pass."""

    logits: Tensor
    """(B, K)"""
    explanations: dict[Request, Tensor]
    """(B, 1, h, w) for each request"""

    @property
    def explanation(self) -> Tensor:
        """The explanation, where exactly one was requested, (B, 1, h, w)."""
        if len(self.explanations) != 1:
            raise ValueError(
                f"explanation: {len(self.explanations)} were requested; use explanations[request] to pick one"
            )
        return next(iter(self.explanations.values()))


class Sample(NamedTuple):
    """One image as the data set gives it."""

    image: Tensor
    """(3, H, W), normalised as the network wants it"""
    label: int
    annotation: Tensor
    """(1, H, W) in [-1, 1]: > 0 relevant, < 0 must not be used, 0 unmarked"""
    annotated: bool
    """whether a person has annotated this image at all (an empty annotation is one)"""
    id: str
    mirrored: bool = False
    """whether left and right are swapped"""


class Batch(NamedTuple):
    """Samples stacked by `lookright.data.collate`."""

    image: Tensor
    """(B, 3, H, W)"""
    label: Tensor
    """(B,) int64"""
    annotation: Tensor
    """(B, 1, H, W) in [-1, 1]"""
    annotated: Tensor
    """(B,) bool"""
    id: tuple[str, ...]
    mirrored: Tensor | None = None
    """(B,) bool; None where nobody kept account"""
