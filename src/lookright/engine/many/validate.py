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
from lookright.metrics import localization
from lookright.types import Batch

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
        self._batches = [
            resident.batch(indices[i : i + _TOGETHER]) for i in range(0, len(indices), _TOGETHER)
        ]
        self._label = torch.cat([batch.label for batch in self._batches]).cpu()

    def __call__(self, weight: Tensor, bias: Tensor, records: Sequence[Record]) -> dict[int, Row]:
        """Give the figures of the log.

        Args:
            weight: (R, K, C)
            bias: (R, K)
            records: the run of each head

        Returns:
            of each run that lives, by its index
        """
        parts = [self._look(batch, weight, bias, records) for batch in self._batches]
        logits = torch.cat([part[0] for part in parts], dim=1)
        rows: dict[int, Row] = {}
        for number, record in enumerate(records):
            if not record.lives:
                continue
            output = record.setup.output
            row: Row = dict(output.validation(output.predict(logits[number]).cpu(), self._label))
            iou = torch.cat([part[1][number] for part in parts])
            iou = iou[~iou.isnan()]
            row["val_iou"] = float(iou.mean()) if len(iou) else None
            rows[record.index] = row
        return rows

    def _look(
        self, batch: Batch, weight: Tensor, bias: Tensor, records: Sequence[Record]
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits (R, B, K), and of each run the IoU of the annotated images."""
        features = self._cells.take([(name, False) for name in batch.id])[None]
        activation = project(features, weight[None])[0]
        logits = logits_of(activation, bias)
        maps = self._form.explain(activation, logits, None, [PREDICTED])[PREDICTED]
        at = batch.annotated.nonzero()[:, 0]
        annotation = batch.annotation[at]
        every = torch.ones(len(at), dtype=torch.bool, device=at.device)
        iou = [
            localization(of_run[at], annotation, every, figures=["iou"])["iou"]
            if record.lives
            else every.float()
            for of_run, record in zip(maps, records, strict=True)
        ]
        return logits, iou
