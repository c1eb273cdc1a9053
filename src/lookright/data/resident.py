"""A data set without its pixels: labels and annotations in memory, gathered by row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from lookright.data.appearance import Appearance
from lookright.data.dataset import ExplanationDataset
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch, Rows

_TOGETHER = 64
"""How many annotations are resized at a time."""


class NoRoomError(Exception):
    """The annotations of a data set take more memory than it may."""


class ResidentDataset:
    """Batches of a data set for a network that starts from features: no photo is opened, nothing is collated.

    A batch's image is NaN, so that nothing can look at it unnoticed; `Batch.pixels` loads the images for
    whoever needs them after all. Annotations are kept at the size of the image, as int8 or, where one of them
    is graded, as float32; and once per grid that losses asked for (`Batch.resized`). All else is as `collate`
    gives it.

    Args:
        dataset: the images
        device: where the batches are

    Raises:
        NoRoomError: the annotations take more than the data set's `cache_bytes`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from lookright.data import Item
        >>> dataset = ExplanationDataset(
        ...     [Item("a.png", Path("a.png"), 1, "train")], image_size=4, mean=[0.5] * 3, std=[0.5] * 3
        ... )
        >>> batch = ResidentDataset(dataset).batch([0])
        >>> batch.id, batch.label, batch.image.shape, bool(batch.image.isnan().all())
        (('a.png',), tensor([1]), torch.Size([1, 3, 4, 4]), True)
    """

    def __init__(self, dataset: ExplanationDataset, device: torch.device | str = "cpu") -> None:
        self.dataset = dataset
        self.device = torch.device(device)
        side = dataset.image_size
        self._nan = torch.full((1, 1, 1, 1), torch.nan, device=device)
        self._annotated = torch.tensor(dataset.annotated, dtype=torch.bool, device=device)
        several = dataset.num_classes is not None
        dtype = torch.int8
        _check_room(dataset, dtype)
        labels = []
        self._marks: list[list[tuple[int, int]]] = []
        """of each image: class of each annotation, and its row in the table"""
        table = [torch.zeros(1, side, side, dtype=torch.int8)]
        for index, item in enumerate(dataset.items):
            label = _label(dataset, index)
            labels.append(label)
            if not item.annotated:
                self._marks.append([(int(label.argmax()) if several else item.label, 0)])
                continue
            marks = dataset.marks(index)
            if not several:
                marks = marks[:1]
            self._marks.append([(of, len(table) + i) for i, (of, _) in enumerate(marks)])
            table += [annotation for _, annotation in marks]
            if dtype is torch.int8 and any(annotation.is_floating_point() for _, annotation in marks):
                dtype = torch.float32
                _check_room(dataset, dtype)
        self._label = torch.stack(labels).to(device)
        annotation = torch.empty(2 * len(table), 1, side, side, dtype=dtype)
        for row, each in enumerate(table):  # as they are and mirrored, in turns
            annotation[2 * row] = each
            annotation[2 * row + 1] = each.flip(-1)
        self._annotation = annotation.to(device)
        self._on_grid: dict[tuple[tuple[int, int], ResizeRule], Tensor] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the images of these indices, mirrored and isolated as in this epoch.

        Args:
            indices: of the images
        """
        dataset, side = self.dataset, self.dataset.image_size
        shown = [dataset.appearance(index) for index in indices]
        mirrored = tuple(each.mirrored for each in shown)
        marks = [(i, of, row) for i, index in enumerate(indices) for of, row in self._marks[index]]
        images = self._tensor(list(indices))
        annotated = self._annotated.index_select(0, images)
        of_rows = None
        if dataset.num_classes is not None:
            of_rows = Rows(self._tensor([i for i, _, _ in marks]), self._tensor([of for _, of, _ in marks]))
            annotated = annotated.index_select(0, of_rows.image)
        keys = self._tensor([2 * row + mirrored[i] for i, _, row in marks])
        return Batch(
            image=self._nan.expand(len(indices), 3, side, side),
            label=self._label.index_select(0, images),
            annotation=self._annotation.index_select(0, keys),
            annotated=annotated,
            id=tuple(each.name for each in shown),
            mirrored=mirrored,
            rows=of_rows,
            pixels=partial(self._pixels, shown),
            resized=partial(self._resized, keys),
        )

    def _tensor(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=self.device)

    def _pixels(self, shown: Sequence[Appearance]) -> Tensor:
        return torch.stack([self.dataset.show(each).image for each in shown]).to(self.device)

    def _resized(self, keys: Tensor, size: tuple[int, int], rule: ResizeRule) -> Tensor:
        """Annotations on a grid, (R, 1, h, w): all of them are brought to it when it is first asked for.

        Args:
            keys: (R,), twice the row of the table, one more where it is mirrored
            size: of the grid
            rule: how cells get their marks
        """
        if (size, rule) not in self._on_grid:
            parts = []
            for start in range(0, len(self._annotation), _TOGETHER):
                part = self._annotation[start : start + _TOGETHER].float()
                parts.append(resize_annotation(part, size, rule))
            self._on_grid[size, rule] = torch.cat(parts)
        return self._on_grid[size, rule].index_select(0, keys)


def _check_room(dataset: ExplanationDataset, dtype: torch.dtype) -> None:
    rows = sum(max(1, len(item.marks_by_class)) for item in dataset.items if item.annotated)
    if 2 * rows * dataset.image_size**2 * dtype.itemsize > dataset.cache_bytes:
        raise NoRoomError


def _label(dataset: ExplanationDataset, index: int) -> Tensor:
    """The label of one image, as `collate` stacks it."""
    item = dataset.items[index]
    if dataset.num_classes is not None:
        labels = torch.zeros(dataset.num_classes)
        labels[list(item.labels)] = 1
        return labels
    if item.value is not None:
        return torch.tensor(item.value, dtype=torch.float32)
    return torch.tensor(item.label, dtype=torch.int64)
