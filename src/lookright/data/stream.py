"""Reading images in a stream from shards, for sets that do not fit on a disk or into memory."""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lookright.data.annotations import Item, Marks, MaskFiles, Matrix
from lookright.data.batch import collate
from lookright.data.dataset import ExplanationDataset
from lookright.data.layout import IMAGE_SUFFIXES
from lookright.data.masks import load_mask
from lookright.data.samplers import check_rank, even_parts
from lookright.data.shards import INDEX, Shard, ShardIndex, load_webdataset
from lookright.data.transforms import draw_mirrored
from lookright.data.workers import plain_errors
from lookright.errors import ConfigError, DataError
from lookright.types import Batch, Sample

_Raw = dict[str, Any]


class ShardedDataset(IterableDataset[Sample]):
    """The images of a split in a stream: the samples that `ExplanationDataset` gives, in another order.

    Each process reads shards of its own (`part`), the same ones in every epoch (as even in images as whole
    shards allow), and in it each worker. In every epoch the shards come in another order, and their images
    pass through a buffer out of which they are drawn at random. The order depends on (seed, epoch) and on how
    many processes and workers there are; whether an image is mirrored, on (seed, epoch, image) alone.

    Args:
        index: as `read_shard_index` gives it
        split: which images
        image_size, mean, std, flip, seed, negatives_outside, corrupt: as for `ExplanationDataset`
        shuffle: another order in every epoch; False keeps that of the shards
        buffer: images among which the next one is drawn, undecoded
        classes: names in the order in which labels are wanted; by default the order of the index

    Raises:
        ConfigError: an argument out of range.
        DataError: the split is not there.
    """

    def __init__(
        self,
        index: ShardIndex,
        split: str,
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        flip: bool = False,
        seed: int = 0,
        negatives_outside: float | None = None,
        corrupt: str | None = None,
        shuffle: bool = True,
        buffer: int = 1000,
        classes: Sequence[str] | None = None,
    ) -> None:
        if buffer < 1:
            raise ConfigError(f"buffer: got {buffer}, need 1 or more")
        self.root = index.root
        self.split = split
        self._shards: Sequence[Shard] = index.split(split)
        self.images_by_rank = [len(self)]
        """how many images each process reads"""
        self.rank = 0
        """which of these this one is"""
        self._parts: Sequence[Sequence[Shard]] = [self._shards]
        names = index.classes if classes is None else tuple(classes)
        self._label = [names.index(name) for name in index.classes]
        self._flip, self._seed, self._shuffle, self._buffer = flip, seed, shuffle, buffer
        self._reader = ExplanationDataset(
            [],
            image_size=image_size,
            mean=mean,
            std=std,
            seed=seed,
            negatives_outside=negatives_outside,
            corrupt=corrupt,
            cache_bytes=0,
        )

    def __len__(self) -> int:
        """Images of the split, over all processes."""
        return sum(shard.images for shard in self._shards)

    @property
    def annotated_images(self) -> int:
        """How many of them are annotated."""
        return sum(shard.annotated for shard in self._shards)

    @property
    def positive_images(self) -> int:
        """How many have a positive mark."""
        return sum(shard.positive for shard in self._shards)

    @property
    def negative_images(self) -> int:
        """How many have a negative mark, derived ones not among them."""
        return sum(shard.negative for shard in self._shards)

    @property
    def negatives_outside(self) -> float | None:
        """As for `ExplanationDataset`."""
        return self._reader.negatives_outside

    @property
    def from_memory(self) -> None:
        """No photo is kept."""
        return None

    def part(self, rank: int, world_size: int) -> Self:
        """Give what one of several processes reads. The epoch is that of the whole.

        Args:
            rank: of the process
            world_size: number of processes

        Raises:
            ConfigError: fewer shards than processes.
        """
        check_rank(rank, world_size)
        if len(self._shards) < world_size:
            raise ConfigError(
                f"devices: {world_size} processes need a shard each, and split {self.split!r} of {self.root} "
                f"has {len(self._shards)}; pack it with fewer images per shard"
            )
        part = copy.copy(self)
        part.rank, part._parts = rank, _share_out(self._shards, world_size)
        part.images_by_rank = [sum(shard.images for shard in mine) for mine in part._parts]
        return part

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins: every epoch has another order and mirrors other images.

        Args:
            epoch: counted from 0
        """
        self._reader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        shards = list(_share_out(self._parts[self.rank], workers)[number])
        epoch = self._reader.epoch
        seed = np.random.SeedSequence([self._seed, epoch, self.rank, number]).generate_state(1)[0]
        generator = random.Random(int(seed))
        if self._shuffle:
            generator.shuffle(shards)
        raw = _read(self.root, shards)
        if self._shuffle:
            raw = _shuffled(raw, self._buffer, generator)
        with tempfile.TemporaryDirectory() as folder:
            for one in raw:
                yield self._sample(one, Path(folder), epoch)

    def _sample(self, raw: _Raw, folder: Path, epoch: int) -> Sample:
        """Decode one image, by way of a file, so that all that a data folder may hold is understood."""
        where = f"{Path(raw['__url__']).name}: {raw['__key__']}"
        try:
            facts = json.loads(raw["json"])
            suffix = next(name for name in raw if f".{name}" in IMAGE_SUFFIXES)
            path = _unpack(folder, suffix, raw)
            marks = _marks(folder, raw, facts) if facts["annotated"] else None
            label = self._label[facts["label"]]
            item = Item(facts["id"], path, label, facts["split"], facts["group"], marks)
            index = int(raw["__key__"])
        except (KeyError, IndexError, ValueError, TypeError, StopIteration) as error:
            raise DataError(
                f"{where}: needs KEY.jpg (or another image) and KEY.json as lookright pack writes them "
                f"({type(error).__name__}: {error})"
            ) from error
        self._reader.items = (item,)
        mirrored = self._flip and draw_mirrored(seed=self._seed, epoch=epoch, index=index)
        try:
            return self._reader.sample(0, mirrored=mirrored)
        except DataError as error:
            raise DataError(f"{where} ({item.id}): {str(error).replace(f'{folder}/', '')}") from error


class StreamLoader:
    """Batches of a stream: as many on every process, each image once per epoch, no small last batch.

    Every process cuts its images into the same number of batches, whose sizes differ by at most one.

    Args:
        dataset: the stream, or the part of it that this process reads
        batch_size: images per step and process, at most
        workers: processes that read and decode; one that has no shard stays idle
    """

    def __init__(self, dataset: ShardedDataset, batch_size: int, *, workers: int = 0) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size: got {batch_size}; give 1 or more")
        self.dataset = dataset
        self._steps = max(-(-images // batch_size) for images in dataset.images_by_rank)
        fewest = min(dataset.images_by_rank)
        if fewest < self._steps:
            raise ConfigError(
                f"data: the shards of {dataset.root} are too uneven: one process has {fewest} images for "
                f"{self._steps} steps; pack them with fewer images per shard"
            )
        self._samples = DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,  # starting them may take seconds
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches per epoch, the same on every process."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        samples = iter(self._samples)
        sizes = even_parts(self.dataset.images_by_rank[self.dataset.rank], self._steps)
        with plain_errors():
            for size in sizes:
                part = list(islice(samples, size))
                if len(part) < size:
                    raise DataError(f"{self.dataset.root}: fewer images than {INDEX} says; pack it again")
                yield collate(part)
            if next(samples, None) is not None:  # which lets workers come to their end, too
                raise DataError(f"{self.dataset.root}: more images than {INDEX} says; pack it again")

    def set_epoch(self, epoch: int) -> None:
        """As `ShardedDataset.set_epoch`."""
        self.dataset.set_epoch(epoch)


Images = ExplanationDataset | ShardedDataset
"""The images of a split, at hand or streamed."""


def _share_out(shards: Sequence[Shard], parts: int) -> list[list[Shard]]:
    """Whole shards, the largest first, each to the part that has the fewest images yet."""
    shared: list[list[Shard]] = [[] for _ in range(parts)]
    for shard in sorted(shards, key=lambda shard: (-shard.images, shard.file)):
        min(shared, key=lambda part: sum(one.images for one in part)).append(shard)
    return [sorted(part, key=lambda shard: shard.file) for part in shared]


def _read(root: Path, shards: Sequence[Shard]) -> Iterator[_Raw]:
    wds = load_webdataset()
    if not shards:
        return
    urls = [str(root / shard.file) for shard in shards]
    try:
        yield from wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_to_samples())
    except (OSError, ValueError, EOFError, wds.tariterators.tarfile.TarError) as error:
        raise DataError(f"{root}: a shard cannot be read ({error}); copy it again, or pack again") from error


def _shuffled(raw: Iterator[_Raw], buffer: int, generator: random.Random) -> Iterator[_Raw]:
    """Draw at random among the next ones."""
    waiting: list[_Raw] = []
    for one in raw:
        waiting.append(one)
        if len(waiting) > buffer:
            place = generator.randrange(len(waiting))
            waiting[place], waiting[-1] = waiting[-1], waiting[place]
            yield waiting.pop()
    generator.shuffle(waiting)
    yield from waiting


def _unpack(folder: Path, name: str, raw: _Raw) -> Path:
    path = folder / f"file.{name}"
    path.write_bytes(raw[name])
    return path


def _marks(folder: Path, raw: _Raw, facts: dict[str, Any]) -> Marks:
    def side(name: str) -> Path | None:
        found = next((f"{name}.{kind}" for kind in ("png", "npy") if f"{name}.{kind}" in raw), None)
        return None if found is None else _unpack(folder, found, raw)

    positive, negative = side("mask"), side("negative")
    if facts["covers_whole_image"]:
        return Matrix(load_mask(positive) if positive else None, load_mask(negative) if negative else None)
    return MaskFiles(positive, negative)
