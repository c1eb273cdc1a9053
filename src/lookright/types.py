"""The values that flow through lookright, from a photo on disk to a loss.

Shapes: B images, C channels, H x W pixels, h x w cells of the explanation, K classes, R annotations.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lookright.choices import choice

if TYPE_CHECKING:  # torch takes seconds to load, and tasks are read without it
    from torch import Tensor

    from lookright.resize import ResizeRule


REASONABLE_IOU = 0.5
"""IoU with the annotation from which on an explanation counts as reasonable"""


class Task(enum.Enum):
    """What a network predicts, and with it the loss of a prediction.

    Example:
        >>> Task("multi-label") is Task.MULTI_LABEL
        True
    """

    SINGLE_LABEL = "single-label"
    """One class per image: logits (B, K), label (B,) int64, cross-entropy."""
    MULTI_LABEL = "multi-label"
    """Any number of classes per image: logits (B, K), label (B, K) in {0, 1}, binary cross-entropy."""
    REGRESSION = "regression"
    """One number per image: output (B, 1), label (B,) float32, squared error."""


class Target(enum.Enum):
    """The class whose score an explanation explains.

    Example:
        >>> Request(target=Target.PREDICTED) == Request(target="predicted")
        True
    """

    LABEL = "label"
    """The true class, or each annotated class where an image has several: the one that training explains."""
    PREDICTED = "predicted"
    """The class with the largest logit: the one that evaluation explains."""


class Score(enum.Enum):
    """The scalar of an image that an explanation explains, for the class c that `Target` picks.

    All but the logit compare classes as a softmax does, so they are for one class per image. Where each class
    is decided by itself (multi-label) or a number is predicted, the logit alone is explained.

    Example:
        >>> Request(score=Score.CONTRAST) == Request(score="contrast")
        True
    """

    LOGIT = "logit"
    """z_c"""
    CONTRAST = "contrast"
    """z_c - mean of z_k over k != c: what the softmax can see of a logit."""
    RUNNER_UP = "runner-up"
    """z_c - max of z_k over k != c: what the decision rests on."""
    LOG_PROBABILITY = "log-probability"
    """log softmax(z)_c"""
    ALL_LOG_PROBABILITIES = "all-log-probabilities"
    """sum over k of log softmax(z)_k: the score of RRR, the same for every class."""


class Normalization(enum.Enum):
    """How an explanation is brought to a scale, image by image (see `lookright.normalize`).

    Example:
        >>> Request(normalization="max-abs").normalization is Normalization.MAX_ABS
        True
    """

    NONE = "none"
    MIN_MAX = "min-max"
    RELU_MAX = "relu-max"
    MAX_ABS = "max-abs"


@dataclass(frozen=True)
class Request:
    """Which explanation a loss or a metric needs. Losses state theirs; the explainer answers by it.

    Target, score and normalisation can be given by their values too: `Request(score="contrast")`.

    Raises:
        ConfigError: another target, score or normalisation.

    Example:
        >>> Request()
        Request(target=<Target.LABEL: 'label'>, score=<Score.LOGIT: 'logit'>, \
normalization=<Normalization.MIN_MAX: 'min-max'>, explainer=None, layer=None, channels=False)
    """

    target: Target = Target.LABEL
    score: Score = Score.LOGIT
    normalization: Normalization = Normalization.MIN_MAX
    explainer: str | None = None
    """name of the explainer that the loss is defined on; None: the one that the run explains with"""
    layer: str | None = None
    """layer that this explainer looks at; None: its own choice"""
    channels: bool = False
    """whether the loss wants the channels of an attribution (B, C, h, w), not one map (B, 1, h, w)"""

    def __post_init__(self) -> None:
        for name, kind in (("target", Target), ("score", Score), ("normalization", Normalization)):
            object.__setattr__(self, name, choice(name, getattr(self, name), kind))


class Rows(NamedTuple):
    """Which image and class each annotation, and each explanation, belongs to: R rows for B images.

    Needed where an image has several annotated classes; every image has at least one row.

    Example:
        >>> import torch
        >>> rows = Rows(image=torch.tensor([0, 0, 1]), label=torch.tensor([2, 5, 1]))
        >>> rows.label[rows.image == 0]  # the annotated classes of the first image
        tensor([2, 5])
    """

    image: Tensor
    """(R,) int64, index into the batch"""
    label: Tensor
    """(R,) int64, the class that the annotation is of"""


class Explained(NamedTuple):
    """Logits and explanations of a batch, out of one forward pass.

    Example:
        >>> import torch
        >>> explained = Explained(torch.zeros(2, 10), {Request(): torch.rand(2, 1, 7, 7)})
        >>> explained.explanation.shape
        torch.Size([2, 1, 7, 7])
    """

    logits: Tensor
    """(B, K)"""
    explanations: dict[Request, Tensor]
    """(B, 1, h, w) for each request; (R, 1, h, w) where the batch has rows"""

    @property
    def explanation(self) -> Tensor:
        """The explanation, where exactly one was requested, (B, 1, h, w).

        Raises:
            ValueError: none was requested, or several.
        """
        if len(self.explanations) != 1:
            raise ValueError(
                f"explanation: {len(self.explanations)} were requested; use explanations[request] to pick one"
            )
        return next(iter(self.explanations.values()))


class Sample(NamedTuple):
    """One image as the data set gives it.

    Example:
        >>> import torch
        >>> annotation = torch.zeros(1, 32, 32)
        >>> annotation[:, 8:16, 8:16] = 1.0
        >>> sample = Sample(torch.rand(3, 32, 32), 3, annotation, annotated=True, id="images/cat/a.jpg")
        >>> sample.mirrored, sample.labels
        (False, None)
    """

    image: Tensor
    """(3, H, W), normalised as the network wants it"""
    label: int
    """-1 where the task is not single-label"""
    annotation: Tensor
    """(1, H, W) in [-1, 1]: > 0 relevant, < 0 must not be used, 0 unmarked; multi-label: the first one"""
    annotated: bool
    """whether a person has annotated this image at all (an empty annotation is one)"""
    id: str
    """of the image, and what of it is shown where that is not all"""
    mirrored: bool = False
    """whether left and right are swapped"""
    value: float | None = None
    """regression: the number to predict"""
    labels: Tensor | None = None
    """multi-label: (K,) float32 in {0, 1}"""
    annotations: tuple[tuple[int, Tensor], ...] = ()
    """multi-label: each annotated class and its annotation, (1, H, W)"""


class Batch(NamedTuple):
    """Samples stacked by `lookright.data.collate`, or rows of a `lookright.data.ResidentDataset`.

    Example:
        >>> import torch
        >>> image, label = torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
        >>> batch = Batch(image, label, torch.zeros(2, 1, 32, 32), torch.tensor([True, False]), id=("a", "b"))
        >>> int(batch.annotated.sum())
        1
    """

    image: Tensor
    """(B, 3, H, W); NaN throughout, one number in memory, where features stand in for the images"""
    label: Tensor
    """as `Task` says: (B,) int64, (B, K) or (B,) float32"""
    annotation: Tensor
    """(B, 1, H, W) in [-1, 1]; (R, 1, H, W) with `rows`"""
    annotated: Tensor
    """(B,) bool; (R,) with `rows`"""
    id: tuple[str, ...]
    mirrored: tuple[bool, ...] | None = None
    """of each image; None where nobody kept account"""
    rows: Rows | None = None
    """image and class of each row of annotation and annotated; None: one row per image, its label"""
    pixels: Callable[[], Tensor] | None = None
    """gives the images after all, (B, 3, H, W), where `image` does not hold them"""
    resized: Callable[[tuple[int, int], ResizeRule], Tensor] | None = None
    """gives the annotation on a grid (h, w), (B or R, 1, h, w), where somebody keeps it; None: resize it"""
