"""One method over many seeds, its objective computed for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from lookright.engine.many.cells import no_image
from lookright.losses import Objective, ObjectiveResult
from lookright.precision import full_precision
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch, Explained, Request


class Judged(NamedTuple):
    """What the objective says of n runs, before explanation losses are weighed."""

    prediction: Tensor
    """(n,)"""
    parts: Tensor
    """(n, T), of T explanation losses"""
    facts: dict[str, Tensor]
    """name -> (n,)"""


class Marks(NamedTuple):
    """Labels and annotations of n batches of equal size."""

    label: Tensor
    """(n, B)"""
    annotated: Tensor
    """(n, B) bool"""
    resized: dict[ResizeRule, Tensor]
    """rule -> (n, B, 1, h, w)"""
    full: Tensor
    """(n, B, 1, H, W); a view of one NaN where nobody looks at it"""

    @classmethod
    def of(cls, batches: Sequence[Batch], grid: tuple[int, int], rules: set[ResizeRule], full: bool) -> Marks:
        """Stack those of batches.

        Args:
            batches: n
            grid: h and w
            rules: how losses bring annotations to the grid
            full: whether somebody looks at the annotation at its own size
        """

        def on_grid(batch: Batch, rule: ResizeRule) -> Tensor:
            if batch.resized is not None:
                return batch.resized(grid, rule)
            return resize_annotation(full_precision(batch.annotation), grid, rule)

        marks = cls(
            torch.stack([batch.label for batch in batches]),
            torch.stack([batch.annotated for batch in batches]),
            {
                rule: torch.stack([on_grid(batch, rule) for batch in batches])
                for rule in sorted(rules, key=str)
            },
            batches[0].annotation[None].expand(len(batches), *batches[0].annotation.shape),
        )
        if not full:
            return marks.without_full()
        return marks._replace(full=torch.stack([batch.annotation for batch in batches]))

    def without_full(self) -> Marks:
        """Put NaN in the place of the annotations at the size of the image: one number in memory."""
        nothing = torch.full((1,) * self.full.ndim, torch.nan, device=self.full.device)
        return self._replace(full=nothing.expand(self.full.shape))

    def at(self, indices: Tensor) -> Marks:
        """Those of some of the batches."""
        return Marks(
            self.label[indices],
            self.annotated[indices],
            {rule: marks[indices] for rule, marks in self.resized.items()},
            self.full[indices] if self.full.is_contiguous() else self.full[: len(indices)],
        )


class Family:
    """The objectives of runs that differ in their seed alone.

    What learns of them (the imputer of RES-L) is stacked: `parameters` are (n, ...) leaves, the n-th row
    being the n-th objective's.

    Args:
        objectives: one per run

    Attributes:
        at_once: whether one vectorised call computes all of them; a loop over them if not
        full: whether a loss looks at the annotation at the size of the image
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = list(objectives)
        self._one = objectives[0]
        parameters, buffers = stack_module_state(list(objectives))
        self.parameters: dict[str, nn.Parameter] = {
            name: nn.Parameter(tensor.detach().clone()) for name, tensor in parameters.items()
        }
        self._buffers = {name: tensor.detach() for name, tensor in buffers.items()}
        self.at_once = True
        self.full = True
        self.refresh()

    def __len__(self) -> int:
        return len(self.objectives)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The explanations that the losses need."""
        return self._one.requests

    @property
    def rules(self) -> set[ResizeRule]:
        """How they bring annotations to the grid."""
        return {term.loss.resize for term in self._one.terms}

    def refresh(self) -> None:
        """Take over the scales of the objectives, which are set while runs learn."""
        self.scale = torch.stack([objective.scale for objective in self.objectives])

    def ramp(self, share: float) -> None:
        """Let the explanation losses count by this share of their weight."""
        self._one.ramp = share

    def judge(self, marks: Marks, logits: Tensor, maps: Mapping[Request, Tensor]) -> Judged:
        """Compute the losses of all runs.

        Args:
            marks: of n batches
            logits: (n, B, K)
            maps: request -> (n, B, 1, h, w)
        """
        state = {**self.parameters, **self._buffers}
        rules = list(marks.resized)

        def one(
            state: dict[str, Tensor],
            logits: Tensor,
            maps: list[Tensor],
            label: Tensor,
            annotated: Tensor,
            full: Tensor,
            resized: list[Tensor],
        ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
            batch = Batch(
                image=full,
                label=label,
                annotation=full,
                annotated=annotated,
                id=(),
                pixels=no_image,
                resized=lambda size, rule: resized[rules.index(rule)],
            )
            explained = Explained(logits, dict(zip(self.requests, maps, strict=True)))
            result: ObjectiveResult = functional_call(self._one, state, (batch, explained))
            return result.prediction_loss, result.parts, result.facts

        given = (
            state,
            logits,
            [maps[request] for request in self.requests],
            marks.label,
            marks.annotated,
            marks.full,
            list(marks.resized.values()),
        )
        if self.at_once:
            prediction, parts, facts = torch.vmap(one)(*given)
            return Judged(prediction, _stacked(parts, prediction), facts)
        singles = [one(*_row(given, i)) for i in range(len(self))]
        prediction = torch.stack([single[0] for single in singles])
        columns = tuple(torch.stack(column) for column in zip(*(s[1] for s in singles), strict=True))
        names = singles[0][2]
        facts = {name: torch.stack([single[2][name] for single in singles]) for name in names}
        return Judged(prediction, _stacked(columns, prediction), facts)

    def explanation_loss(self, judged: Judged) -> Tensor | None:
        """Weigh the explanation losses by the scales of now, (n,); None if there are none."""
        if not self._one.weights:
            return None
        return (judged.parts * (self.scale * self._one.factors * self._one.ramp)).sum(dim=1)


def _stacked(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack(tuple(parts), dim=1) if len(parts) else like.new_zeros(len(like), 0)


def _row(tree: Any, i: int) -> Any:
    """Take the i-th row of every tensor."""
    if isinstance(tree, Tensor):
        return tree[i]
    if isinstance(tree, dict):
        return {name: _row(value, i) for name, value in tree.items()}
    return type(tree)(_row(value, i) for value in tree)
