"""The contract of an explanation loss.

Most losses need one method, `per_sample`. What pools over the batch, or needs the image or the full-size
annotation, overrides `compute` and finds everything in one typed `LossInputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.losses.reduce import global_mean
from lookright.precision import full_precision
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Request

_ROUNDING = 1e-3
_AT_HAND = ("cpu",)
"""devices on which nobody waits for a value"""


class LossInputs:
    """What a loss may look at, all float32.

    What is as large as the image is made when it is first looked at: most losses never do.

    Args:
        explanation: (B, C, h, w), as the loss requested it; C = 1 unless it requested channels
        annotation: (B, 1, h, w) in [-1, 1], on the grid of the explanation; zero where not annotated
        annotated: (B,) bool
        full_annotation: (B, 1, H, W) in [-1, 1], as it was given; or what gives it
        image: (B, 3, H, W) as the network sees it; or what gives it
        logits: (B, K)
        label: (B,) int64, the class that the explanation is of

    Example:
        >>> explanation, annotation = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
        >>> LossInputs(explanation, annotation, torch.tensor([True, False]), annotation).full_annotation.shape
        torch.Size([2, 1, 4, 4])
    """

    def __init__(
        self,
        explanation: Tensor,
        annotation: Tensor,
        annotated: Tensor,
        full_annotation: Tensor | Callable[[], Tensor],
        image: Tensor | Callable[[], Tensor] | None = None,
        logits: Tensor | None = None,
        label: Tensor | None = None,
    ) -> None:
        self.explanation, self.annotation, self.annotated = explanation, annotation, annotated
        self.logits, self.label = logits, label
        self._full_annotation, self._image = full_annotation, image

    @cached_property
    def full_annotation(self) -> Tensor:
        """(B, 1, H, W) in [-1, 1], as it was given; zero where not annotated."""
        given = self._full_annotation
        return given if isinstance(given, Tensor) else given()

    @cached_property
    def image(self) -> Tensor | None:
        """(B, 3, H, W) as the network sees it; None where nobody gave it."""
        given = self._image
        return given() if callable(given) else given


@dataclass(frozen=True)
class LossResult:
    """A loss, and what is worth logging about it.

    Example:
        >>> LossResult(torch.tensor(0.5), facts={"alpha": torch.tensor(0.3)}).value
        tensor(0.5000)
    """

    value: Tensor
    """scalar"""
    facts: dict[str, Tensor] = field(default_factory=dict)
    """name -> scalar without gradient"""
    prediction_weight: Tensor | None = None
    """(B,) weights on the prediction loss of the images, without gradient; None: 1 for each"""


class ExplanationLoss(nn.Module):
    """Base of all explanation losses.

    A loss states which explanation it wants (`request`) and how an annotation is brought to the grid of
    that explanation (`resize`). Calling it masks the images without an annotation, reduces to the mean over
    the annotated ones (of all processes), and computes in float32 whatever the mixed precision is.

    Example:
        >>> class Outside(ExplanationLoss):  # a complete loss
        ...     def per_sample(self, explanation, annotation):
        ...         return (explanation * (annotation < 0)).mean(dim=(1, 2, 3))
        >>> explanation, annotation = torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)
        >>> Outside()(explanation, annotation)
        tensor(1.)
    """

    paper: ClassVar[str] = ""
    """where it comes from"""
    uses: ClassVar[str] = ""
    """the marks it can use"""
    counts_unmarked: bool = False
    """whether its definition moves with cells that nobody marked; of an instance, with its options"""
    needs_softmax: bool = False
    """whether its definition needs the probabilities of one class among others; losses that explain another
    score than the logit need not say so"""
    pools: bool = False
    """whether an image's contribution depends on the rest of the batch; of an instance, with its options"""
    differs: ClassVar[str] = ""
    """what differs from the authors' code, and which option gives their variant"""
    cost: ClassVar[str] = ""
    """what it costs beside the explanation"""

    request: Request = Request()
    """the explanation that the loss is defined on"""
    resize: ResizeRule = ResizeRule.AREA
    """how marks reach the grid of the explanation"""
    magnitude_is_weight: bool = False
    """for losses that compare with the marks cell by cell: whether the magnitude of a mark is its weight, its
    value being the sign, rather than the value that the explanation shall have"""
    _has_checked: bool = False
    """whether the marks of a batch have been looked at"""

    def per_sample(self, explanation: Tensor, annotation: Tensor) -> Tensor:
        """Give the loss of each image; override this one for a loss that does not pool.

        Must be finite for an annotation without any mark.

        Args:
            explanation: (B, 1, h, w)
            annotation: (B, 1, h, w) in [-1, 1]

        Returns:
            (B,)
        """
        raise TypeError(f"{type(self).__name__} must override per_sample or compute")

    def compute(self, inputs: LossInputs) -> LossResult:
        """Reduce to one number; override this one for a loss that pools or needs more inputs."""
        values = self.per_sample(inputs.explanation, inputs.annotation)
        if values.shape != inputs.annotated.shape:
            raise ConfigError(
                f"{type(self).__name__}.per_sample: got shape {tuple(values.shape)}, need one value per "
                f"image, ({len(inputs.annotated)},)"
            )
        return LossResult(global_mean(values, inputs.annotated))

    def evaluate(
        self,
        explanation: Tensor,
        annotation: Tensor,
        annotated: Tensor | None = None,
        image: Tensor | Callable[[], Tensor] | None = None,
        *,
        logits: Tensor | None = None,
        label: Tensor | None = None,
        resized: Callable[[tuple[int, int], ResizeRule], Tensor] | None = None,
    ) -> LossResult:
        """Check the inputs, bring the annotation to the grid, compute in float32.

        Args:
            explanation, annotation, annotated, logits, label: see `forward`
            image: (B, 3, H, W), or what gives it
            resized: gives the annotation on a grid, where somebody keeps it
        """
        if not self.request.channels and explanation.ndim == 4 and explanation.shape[1] != 1:
            raise ConfigError(f"explanation: got shape {tuple(explanation.shape)}, need (B, 1, h, w)")
        annotated = _checked(explanation, annotation, annotated)
        explanation = full_precision(explanation)

        def full() -> Tensor:
            return _only_annotated(annotation, annotated).to(explanation.dtype)

        def pixels(given: Tensor | Callable[[], Tensor]) -> Tensor:
            return full_precision(given if isinstance(given, Tensor) else given())

        with torch.autocast(explanation.device.type, enabled=False):
            inputs = LossInputs(
                explanation,
                annotation,
                annotated,
                full,
                None if image is None else partial(pixels, image),
                None if logits is None else full_precision(logits),
                label,
            )
            if resized is None:
                inputs.annotation = resize_annotation(inputs.full_annotation, _grid(explanation), self.resize)
                self._has_checked = check_marks(inputs.annotation, has_checked=self._has_checked)
            else:
                on_grid = resized(_grid(explanation), self.resize)
                inputs.annotation = _only_annotated(on_grid, annotated).to(explanation.dtype)
            return self.compute(inputs)

    def forward(
        self,
        explanation: Tensor,
        annotation: Tensor,
        annotated: Tensor | None = None,
        image: Tensor | None = None,
        *,
        logits: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            explanation: (B, C, h, w), made for `self.request`
            annotation: (B, 1, H, W) in [-1, 1] at any size: > 0 relevant, < 0 must not be used, 0 unmarked
            annotated: (B,) bool; which images have an annotation at all (default: all)
            image: (B, 3, H, W), for losses that look at it
            logits: (B, K), likewise
            label: (B,) int64, the class that the explanation is of, likewise

        Returns:
            scalar; an exact zero, still in the graph, where no image is annotated

        Raises:
            ConfigError: shapes that do not fit together; an annotation outside [-1, 1]: every batch is looked
                at on a CPU, the first one alone on a GPU, which would have to wait.
        """
        return self.evaluate(explanation, annotation, annotated, image, logits=logits, label=label).value


def _grid(explanation: Tensor) -> tuple[int, int]:
    return explanation.shape[-2], explanation.shape[-1]


def _only_annotated(annotation: Tensor, annotated: Tensor) -> Tensor:
    """Put 0 in the rows of images without an annotation, where whatever stands there must not count."""
    return torch.where(annotated[:, None, None, None], full_precision(annotation), 0.0)


def _checked(explanation: Tensor, annotation: Tensor, annotated: Tensor | None) -> Tensor:
    """Give the flags of annotated images."""
    if explanation.ndim != 4:
        raise ConfigError(f"explanation: got shape {tuple(explanation.shape)}, need (B, C, h, w)")
    batch = explanation.shape[0]
    if annotation.ndim != 4 or annotation.shape[:2] != (batch, 1):
        raise ConfigError(
            f"annotation: got shape {tuple(annotation.shape)}, need ({batch}, 1, H, W) as the explanation has"
        )
    if annotated is None:
        annotated = torch.ones(batch, dtype=torch.bool, device=explanation.device)
    if annotated.shape != (batch,):
        raise ConfigError(f"annotated: got shape {tuple(annotated.shape)}, need ({batch},) booleans")
    return annotated.bool()


def check_marks(annotation: Tensor, *, has_checked: bool) -> bool:
    """Look whether marks are in [-1, 1], where that costs next to nothing; a mask is often 0 and 255.

    Args:
        annotation: (B, 1, h, w), zero where an image has none
        has_checked: whether it is not the first time: on a GPU the others would have to wait for it

    Returns:
        True: it is not the first time any more

    Raises:
        ConfigError: there is a mark outside [-1, 1], or NaN.

    Example:
        >>> check_marks(torch.ones(1, 1, 2, 2), has_checked=False)
        True
    """
    skipped = (has_checked and annotation.device.type not in _AT_HAND) or torch.compiler.is_compiling()
    if not skipped and annotation.numel():
        lowest, highest = (float(end) for end in annotation.detach().aminmax())
        if not (lowest >= -1 - _ROUNDING and highest <= 1 + _ROUNDING):  # which NaN fails as well
            raise ConfigError(
                f"annotation: got values from {lowest:g} to {highest:g}, need [-1, 1]: > 0 relevant, < 0 "
                "must not be used, 0 unmarked; divide a mask of 0 and 255 by 255"
            )
    return True


def has_positive(annotation: Tensor) -> Tensor:
    """Whether an image has a positive mark, (B, 1, h, w) -> (B,) bool.

    Example:
        >>> has_positive(torch.tensor([[[[0.0, 1.0]]], [[[-1.0, 0.0]]]]))
        tensor([ True, False])
    """
    return (annotation > 0).flatten(1).any(dim=1)
