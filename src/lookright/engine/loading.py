"""Where the batches of an epoch come from: from memory where features stand in for the photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler

from lookright.config import TrainConfig
from lookright.data import AnnotatedBatchSampler, ResidentDataset, collate
from lookright.data.resident import NoRoomError
from lookright.data.stream import Images, ShardedDataset, StreamLoader
from lookright.data.workers import plain_errors
from lookright.engine.trunk import FrozenTrunk
from lookright.types import Batch


def share_out(
    train: Images, config: TrainConfig, *, rank: int = 0, world_size: int = 1
) -> AnnotatedBatchSampler | StreamLoader:
    """Share the training images out to processes and batches; all processes make the same number of steps.

    Args:
        train: the images
        config: the options
        rank: of this process
        world_size: number of processes

    Raises:
        ConfigError: there are too few images, or shards, for so many processes.
    """
    if isinstance(train, ShardedDataset):
        return StreamLoader(train.part(rank, world_size), config.batch_size, workers=config.workers)
    return AnnotatedBatchSampler(
        train.annotated, config.batch_size, seed=config.seed, rank=rank, world_size=world_size
    )


def load_batches(
    dataset: Images,
    batches: Sampler[list[int]] | StreamLoader | int,
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    trunk: FrozenTrunk | None = None,
) -> Iterable[Batch]:
    """Give the batches of a data set, anew in every epoch: each iteration is one.

    Where the trunk serves every image, and the annotations fit into the memory that the data set may take,
    no photo is opened and the batches are on the device already. Otherwise photos are loaded, in worker
    processes that live on from epoch to epoch, so that they decode each photo once. Neither way draws from
    torch's global random numbers: dropout is the same. Shards are read anew in every epoch.

    Args:
        dataset: the images
        batches: as `share_out` gives it; or how many images, in order
        device: where the network is
        workers: processes that load photos
        trunk: features of the frozen part, filled
    """
    if isinstance(batches, StreamLoader):
        return batches
    if isinstance(dataset, ShardedDataset):
        if not isinstance(batches, int):
            raise TypeError("batches: a stream has no indices; give share_out's, or how many images")
        return StreamLoader(dataset, batches, workers=workers)
    if isinstance(batches, int):
        batches = BatchSampler(SequentialSampler(dataset), batches, drop_last=False)
    if trunk is not None and trunk.serves(dataset):
        with suppress(NoRoomError):
            return _Gathered(ResidentDataset(dataset, device), batches)
    return _Loaded(
        DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.device(device).type == "cuda",
            generator=torch.Generator(),
        )
    )


class _Loaded:
    def __init__(self, loader: Iterable[Batch]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Batch]:
        with plain_errors():
            yield from self.loader


class _Gathered:
    def __init__(self, dataset: ResidentDataset, batches: Iterable[Sequence[int]]) -> None:
        self.dataset, self.batches = dataset, batches

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.batches:
            yield self.dataset.batch(indices)
