"""Batches without pixels are the batches that `collate` gives, but for the pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lookright.data import ExplanationDataset, Item, Matrix, ResidentDataset, collate, resident
from lookright.data.resident import NoRoomError
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch

SIDE = 24
SIZE = {"image_size": SIDE, "mean": [0.5] * 3, "std": [0.25] * 3}


def marks(seed: int) -> Matrix:
    random = np.random.default_rng(seed)
    signs = np.kron(random.integers(-1, 2, (5, 5)), np.ones((8, 8)))
    return Matrix((signs > 0).astype(float), (signs < 0).astype(float) if seed % 2 else None)


def items(folder: Path) -> list[Item]:
    made = []
    for i in range(6):
        path = folder / f"{i}.png"
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        made.append(Item(path.name, path, i % 2, "train", marks=marks(i) if i % 3 else None))
    return made


def several_labels(item: Item, number: int) -> Item:
    by_class = {} if item.marks is None else {label: marks(number + label) for label in range(1 + number % 2)}
    return replace(item, label=-1, labels=(1, 2), marks=None, marks_by_class=by_class)


def dataset(folder: Path, task: str) -> ExplanationDataset:
    given = items(folder)
    if task == "several labels":
        given = [several_labels(item, i) for i, item in enumerate(given)]
    if task == "number":
        given = [replace(item, label=-1, value=float(i)) for i, item in enumerate(given)]
    return ExplanationDataset(
        given,
        flip=True,
        num_classes=3 if task == "several labels" else None,
        negatives_outside=0.1 if task == "derived" else None,
        **SIZE,
    )


@pytest.mark.parametrize("task", ["one label", "several labels", "number", "derived"])
def test_rows_equal_collated_samples(task: str, tmp_path: Path) -> None:
    given = dataset(tmp_path, task)
    resident = ResidentDataset(given)
    seen = set()
    for epoch in range(3):
        given.set_epoch(epoch)
        for indices in ([4, 1, 0], [2, 3, 5]):
            batch, expected = resident.batch(indices), collate([given[i] for i in indices])
            seen.update(batch.mirrored)
            assert_equal(batch, expected)
    assert seen == {False, True}


def assert_equal(batch: Batch, expected: Batch) -> None:
    assert batch.id == expected.id
    assert batch.mirrored == expected.mirrored
    assert batch.image.shape == expected.image.shape
    assert batch.image.isnan().all()
    assert batch.image.untyped_storage().nbytes() == 4
    assert torch.equal(batch.pixels(), expected.image)
    assert batch.label.dtype == expected.label.dtype
    assert torch.equal(batch.label, expected.label)
    assert torch.equal(batch.annotated, expected.annotated)
    assert torch.equal(batch.annotation.float(), expected.annotation)
    assert (batch.rows is None) is (expected.rows is None)
    if expected.rows is not None:
        assert torch.equal(batch.rows.image, expected.rows.image)
        assert torch.equal(batch.rows.label, expected.rows.label)
    for rule in ResizeRule:
        for size in ((3, 3), (7, 5), (SIDE, SIDE), (30, 30)):
            assert torch.equal(batch.resized(size, rule), resize_annotation(expected.annotation, size, rule))


@pytest.mark.parametrize(("graded", "nbytes"), [(False, 1), (True, 4)])
def test_annotations_may_take_what_the_data_set_may(tmp_path: Path, graded: bool, nbytes: int) -> None:
    given = items(tmp_path)
    if graded:
        given[4] = replace(given[4], marks=Matrix(np.linspace(0, 1, 1600).reshape(40, 40)))
    taken = 2 * 4 * SIDE**2 * nbytes  # four of six are annotated, as they are and mirrored
    table = ResidentDataset(ExplanationDataset(given, cache_bytes=taken, **SIZE))._annotation
    assert table[2:].nbytes == taken
    with pytest.raises(NoRoomError):
        ResidentDataset(ExplanationDataset(given, cache_bytes=taken - 1, **SIZE))


def test_each_grid_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    calls = []

    def counting(annotation: Tensor, *rest: object) -> Tensor:
        calls.append(len(annotation))
        return resize_annotation(annotation, *rest)

    monkeypatch.setattr(resident, "resize_annotation", counting)
    made = ResidentDataset(dataset(tmp_path, "one label"))
    for _ in range(3):
        made.batch([0, 1]).resized((3, 3), ResizeRule.AREA)
    assert len(calls) == 1


def test_photos_without_marks_are_not_opened(tmp_path: Path) -> None:
    given = dataset(tmp_path, "one label")
    for item in given.items:
        if not item.annotated:
            item.path.unlink()
    assert ResidentDataset(given).batch([0, 3]).annotated.tolist() == [False, False]


def test_how_much_came_from_memory(tmp_path: Path) -> None:
    given = dataset(tmp_path, "one label")
    assert given.from_memory is None
    for _ in range(4):
        list(given)
    assert given.from_memory == 0.75
