"""Shards: what is packed comes out of the stream, once, over all processes and workers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookright.config import DataConfig
from lookright.data import AnnotationSet, ExplanationDataset, Item, Matrix, read_annotations
from lookright.data.shards import ShardIndex, read_shard_index, write_shards
from lookright.data.stream import ShardedDataset, StreamLoader
from lookright.errors import ConfigError, DataError
from lookright.types import Sample, Task

pytest.importorskip("webdataset")
VIEW = {"image_size": 16, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> AnnotationSet:
    """23 photos of 20 x 12 pixels; every third with marks: black and white, graded, negative, on any grid."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    items = []
    for i in range(23):
        path = root / f"{i}.{'jpg' if i % 2 else 'png'}"
        image = Image.fromarray(generator.integers(0, 255, (12, 20, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 3  # turned by half: a photo's own facts travel with its bytes
        image.save(path, exif=exif)
        marks = None
        if i % 3 == 0:
            positive = (generator.random((12, 20)) > 0.5).astype(np.float32)
            negative = (generator.random((12, 20)) > 0.5).astype(np.float32) * (1 - positive)
            graded = generator.random((5, 5)).astype(np.float32)
            marks = [Matrix(positive, negative), Matrix(positive), Matrix(graded)][i // 3 % 3]
        items.append(Item(f"images/{i}", path, i % 2, "train" if i < 20 else "val", f"g{i % 4}", marks))
    return AnnotationSet(root, ("even", "odd"), tuple(items))


@pytest.fixture(scope="module")
def index(folder: AnnotationSet, tmp_path_factory: pytest.TempPathFactory) -> ShardIndex:
    return write_shards(folder, tmp_path_factory.mktemp("shards"), images_per_shard=3)


def assert_same(ours: Sample, theirs: Sample) -> None:
    assert (ours.id, ours.label, ours.annotated) == (theirs.id, theirs.label, theirs.annotated)
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.annotation, theirs.annotation)


@pytest.mark.parametrize("outside", [None, 0.1])
def test_folder_to_shards_and_back(folder: AnnotationSet, index: ShardIndex, outside: float | None) -> None:
    for split, images in (("train", 20), ("val", 3)):
        expected = ExplanationDataset(folder.split(split).items, negatives_outside=outside, **VIEW)
        stream = ShardedDataset(index, split, negatives_outside=outside, **VIEW)
        found = {sample.id: sample for sample in stream}
        assert len(found) == images == len(stream)
        assert stream.annotated_images == expected.annotated_images == sum(expected.annotated)
        for i in range(images):
            assert_same(found[expected.items[i].id], expected[i])
    assert read_shard_index(index.root) == index
    assert [(s.split, s.images) for s in index.shards] == [("train", 3)] * 6 + [("train", 2), ("val", 3)]


def test_photos_with_mask_files(digits: Path, tmp_path: Path) -> None:
    """Masks of a real data folder keep their own size and lie on their photo as before."""
    read = read_annotations(DataConfig(data=digits))
    stream = ShardedDataset(write_shards(read, tmp_path / "shards"), "train", **VIEW)
    found = {sample.id: sample for sample in stream}
    expected = ExplanationDataset(read.split("train").items, **VIEW)
    assert len(found) == len(expected)
    for sample in expected:
        assert_same(found[sample.id], sample)


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 0), (3, 0), (2, 2), (1, 3)])
def test_each_image_once_and_as_many_steps_everywhere(index: ShardIndex, world: int, workers: int) -> None:
    loaders = [
        StreamLoader(ShardedDataset(index, "train", **VIEW).part(rank, world), 4, workers=workers)
        for rank in range(world)
    ]
    epochs = [[[list(batch.id) for batch in loader] for loader in loaders] for _ in range(2)]
    assert epochs[0] == epochs[1], "the same epoch twice"
    ids = [name for batches in epochs[0] for batch in batches for name in batch]
    assert sorted(ids) == sorted(f"images/{i}" for i in range(20))
    assert {len(batches) for batches in epochs[0]} == {len(loaders[0])}
    for batches in epochs[0]:
        sizes = [len(batch) for batch in batches]
        assert 1 <= min(sizes) <= max(sizes) <= 4
        assert max(sizes) - min(sizes) <= 1


def test_epochs_and_seeds_differ_and_repeat(index: ShardIndex) -> None:
    def order(epoch: int, **options: object) -> list[str]:
        stream = ShardedDataset(index, "train", **VIEW, **options)
        stream.set_epoch(epoch)
        return [sample.id for sample in stream]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != order(0, seed=1)
    assert order(0) != order(0, buffer=1)
    unshuffled = order(0, shuffle=False)
    assert unshuffled == order(5, shuffle=False)
    assert sorted(unshuffled) == sorted(order(0))


def test_image_and_annotation_are_mirrored_together(index: ShardIndex) -> None:
    plain = {sample.id: sample for sample in ShardedDataset(index, "train", **VIEW)}
    seen = set()
    by_processes = []
    for world in (1, 2):
        mirrored = {}
        for rank in range(world):
            stream = ShardedDataset(index, "train", flip=True, seed=3, **VIEW).part(rank, world)
            stream.set_epoch(2)
            for sample in stream:
                original = plain[sample.id]
                expected = (original.image, original.annotation)
                if sample.mirrored:
                    expected = tuple(tensor.flip(-1) for tensor in expected)
                assert torch.equal(sample.image, expected[0])
                assert torch.equal(sample.annotation, expected[1])
                mirrored[sample.id] = sample.mirrored
        seen |= set(mirrored.values())
        by_processes.append(mirrored)
    assert seen == {True, False}
    assert by_processes[0] == by_processes[1], "mirroring depends on the image, not on who reads it"


def test_what_cannot_be_packed_or_streamed(folder: AnnotationSet, index: ShardIndex, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists and is not empty"):
        write_shards(folder, index.root)
    with pytest.raises(ConfigError, match="images_per_shard: got 0"):
        write_shards(folder, tmp_path / "new", images_per_shard=0)
    several = AnnotationSet(folder.root, folder.classes, folder.items, task=Task.MULTI_LABEL)
    with pytest.raises(ConfigError, match="multi-label"):
        write_shards(several, tmp_path / "new")
    with pytest.raises(DataError, match=r"no shard is of split 'test'; the splits there are: train, val"):
        ShardedDataset(index, "test", **VIEW)
    with pytest.raises(ConfigError, match="2 processes need a shard each, and split 'val'"):
        ShardedDataset(index, "val", **VIEW).part(0, 2)
    with pytest.raises(DataError, match=r"shards\.json: missing or damaged"):
        read_shard_index(tmp_path)


def test_damaged_shards(folder: AnnotationSet, tmp_path: Path) -> None:
    index = write_shards(folder, tmp_path / "shards", images_per_shard=30)
    shard = tmp_path / "shards" / "train-0000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(DataError, match=r"shard cannot be read|fewer images than|needs KEY"):
        list(StreamLoader(ShardedDataset(index, "train", **VIEW), 4))
    start = whole.index(b"\xff\xd8\xff")
    shard.write_bytes(whole[: start + 2] + bytes(200) + whole[start + 202 :])
    with pytest.raises(DataError, match=r"train-0000\.tar: \d{8} \(images/\d+\): file\.jpg: cannot be read"):
        list(ShardedDataset(index, "train", **VIEW))
    shard.unlink()
    with pytest.raises(DataError, match=r"train-0000\.tar: not there, but shards\.json names it"):
        read_shard_index(tmp_path / "shards")
    assert json.loads((tmp_path / "shards" / "shards.json").read_text())["classes"] == ["even", "odd"]
