"""Predictions and explanations of the validation images, by all heads at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lookright.data import ResidentDataset
from lookright.engine.inference import PREDICTED
from lookright.engine.journal import Row
from lookright.engine.many.cells import Cells
from lookright.engine.many.heads import ClosedForm, logits_of, project
from lookright.engine.many.record import Record
from lookright.metrics.crossings import Crossings

_TOGETHER = 64
"""How many images are looked at at a time."""


class Validation:
    """The validation images, and what heads make of them.

    Args:
        resident: the images
        cells: features
        form: of explanations
    """

    def __init__(self, resident: ResidentDataset, cells: Cells, form: ClosedForm) -> None:
        self._cells, self._form = cells, form
        indices = range(len(resident))
        starts = range(0, len(indices), _TOGETHER)
        batches = [resident.batch(indices[i : i + _TOGETHER]) for i in starts]
        self._label = torch.cat([batch.label for batch in batches]).cpu()
        self._keys = [[(name, False) for name in batch.id] for batch in batches]
        rows = [batch.annotated.nonzero()[:, 0] for batch in batches]
        self._annotated = [
            (at, Crossings(batch.annotation[at], form.grid)) for at, batch in zip(rows, batches, strict=True)
        ]

    def __call__(self, weight: Tensor, bias: Tensor, records: Sequence[Record]) -> dict[int, Row]:
        """Give the figures of the log.

        Args:
            weight: (R, K, C)
            bias: (R, K)
            records: the run of each head

        Returns:
            of each run that lives, by its index
        """
        parts = [self._look(number, weight, bias) for number in range(len(self._keys))]
        logits = torch.cat([part[0] for part in parts], dim=1)
        ious = torch.cat([part[1] for part in parts], dim=1)
        rows: dict[int, Row] = {}
        for number, record in enumerate(records):
            if not record.lives:
                continue
            output = record.setup.output
            row: Row = dict(output.validation(output.predict(logits[number]).cpu(), self._label))
            iou = ious[number]
            iou = iou[~iou.isnan()]
            row["val_iou"] = float(iou.mean()) if len(iou) else None
            rows[record.index] = row
        return rows

    def _look(self, number: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, B, K) of a batch, and the IoU (R, n) of its annotated images."""
        features = self._cells.take(self._keys[number])[None]
        activation = project(features, weight[None])[0]
        logits = logits_of(activation, bias)
        maps = self._form.explain(activation, logits, None, [PREDICTED])[PREDICTED]
        rows, crossings = self._annotated[number]
        return logits, crossings.iou(maps[:, rows, 0])
