"""How samples become a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lookright.types import Batch, Rows, Sample


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch: the `collate_fn` of a DataLoader.

    In a multi-label task a batch has one row per annotated class of each image. An image without any has one
    row that is not annotated: of the first class that it shows, or else of class 0.

    Example:
        >>> zeros = torch.zeros(1, 2, 2)
        >>> batch = collate([Sample(zeros.expand(3, 2, 2), 1, zeros, False, "a.jpg")])
        >>> batch.image.shape, batch.label, batch.annotated, batch.id
        (torch.Size([1, 3, 2, 2]), tensor([1]), tensor([False]), ('a.jpg',))
    """
    batch = Batch(
        image=torch.stack([sample.image for sample in samples]),
        label=_labels(samples),
        annotation=torch.stack([sample.annotation for sample in samples]),
        annotated=torch.tensor([sample.annotated for sample in samples], dtype=torch.bool),
        id=tuple(sample.id for sample in samples),
        mirrored=tuple(sample.mirrored for sample in samples),
    )
    return batch if batch.label.ndim == 1 else _with_rows(batch, samples)


def _labels(samples: Sequence[Sample]) -> Tensor:
    several = [sample.labels for sample in samples if sample.labels is not None]
    if several:
        return torch.stack(several)
    values = [sample.value for sample in samples if sample.value is not None]
    if values:
        return torch.tensor(values, dtype=torch.float32)
    return torch.tensor([sample.label for sample in samples], dtype=torch.int64)


def _with_rows(batch: Batch, samples: Sequence[Sample]) -> Batch:
    image, label, annotation = [], [], []
    for i, sample in enumerate(samples):
        shown = int(batch.label[i].argmax())  # the first of the largest: of zeros, class 0
        for of, marks in sample.annotations or ((shown, sample.annotation),):
            image.append(i)
            label.append(of)
            annotation.append(marks)
    rows = Rows(torch.tensor(image), torch.tensor(label))
    annotated = batch.annotated[rows.image]
    return batch._replace(annotation=torch.stack(annotation), annotated=annotated, rows=rows)
