"""The contract of an explanation loss.

Most losses need one method, `per_sample`. What pools over the batch, or needs the image or the full-size
annotation, overrides `compute` and finds everything in one typed `LossInputs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.losses.reduce import global_mean
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Request


@dataclass(frozen=True)
class LossInputs:
    """What a loss may look at, all float32."""

    explanation: Tensor
    """(B, 1, h, w), as the loss requested it"""
    annotation: Tensor
    """(B, 1, h, w) in [-1, 1], on the grid of the explanation; zero where not annotated"""
    annotated: Tensor
    """(B,) bool"""
    full_annotation: Tensor
    """(B, 1, H, W) in [-1, 1], as it was given"""
    image: Tensor | None = None
    """(B, 3, H, W) as the network sees it"""


@dataclass(frozen=True)
class LossResult:
    """A loss, and what is worth logging about it."""

    value: Tensor
    """scalar"""
    facts: dict[str, Tensor] = field(default_factory=dict)
    """name -> scalar without gradient"""


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

    request: ClassVar[Request] = Request()
    """the explanation that the loss is defined on"""
    paper: ClassVar[str] = ""
    """where it comes from"""
    uses: ClassVar[str] = ""
    """the marks it can use"""
    pools: ClassVar[bool] = False
    """whether an image's contribution depends on the rest of the batch"""

    resize: ResizeRule = ResizeRule.AREA

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
        return LossResult(global_mean(values, inputs.annotated))

    def evaluate(
        self,
        explanation: Tensor,
        annotation: Tensor,
        annotated: Tensor | None = None,
        image: Tensor | None = None,
    ) -> LossResult:
        """Check the inputs, bring the annotation to the grid, compute in float32."""
        inputs = _checked(explanation, annotation, annotated, image)
        with torch.autocast(explanation.device.type, enabled=False):
            on_grid = resize_annotation(inputs.full_annotation, _grid(explanation), self.resize)
            return self.compute(replace(inputs, annotation=on_grid))

    def forward(
        self,
        explanation: Tensor,
        annotation: Tensor,
        annotated: Tensor | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            explanation: (B, 1, h, w), made for `self.request`
            annotation: (B, 1, H, W) in [-1, 1] at any size: > 0 relevant, < 0 must not be used, 0 unmarked
            annotated: (B,) bool; which images have an annotation at all (default: all)
            image: (B, 3, H, W), for losses that look at it

        Returns:
            scalar; an exact zero, still in the graph, where no image is annotated

        Raises:
            ConfigError: shapes that do not fit together.
        """
        return self.evaluate(explanation, annotation, annotated, image).value


def _grid(explanation: Tensor) -> tuple[int, int]:
    return explanation.shape[-2], explanation.shape[-1]


def _checked(
    explanation: Tensor, annotation: Tensor, annotated: Tensor | None, image: Tensor | None
) -> LossInputs:
    if explanation.ndim != 4 or explanation.shape[1] != 1:
        raise ConfigError(f"explanation: got shape {tuple(explanation.shape)}, need (B, 1, h, w)")
    batch = explanation.shape[0]
    if annotation.ndim != 4 or annotation.shape[:2] != (batch, 1):
        raise ConfigError(
            f"annotation: got shape {tuple(annotation.shape)}, need ({batch}, 1, H, W) as the explanation has"
        )
    if annotated is None:
        annotated = torch.ones(batch, dtype=torch.bool, device=explanation.device)
    if annotated.shape != (batch,):
        raise ConfigError(f"annotated: got shape {tuple(annotated.shape)}, need ({batch},) booleans")
    annotated = annotated.bool()
    # Whatever stands in the rows of unannotated images must not count.
    full = annotation.float() * annotated[:, None, None, None]
    return LossInputs(
        explanation=explanation.float(),
        annotation=full,
        annotated=annotated,
        full_annotation=full,
        image=None if image is None else image.float(),
    )
