"""Batches that share the annotated images out evenly, alone or over several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from lookright.errors import ConfigError


def check_rank(rank: int, world_size: int) -> None:
    """Refuse a process that is not one of `world_size`.

    Raises:
        ConfigError: it is not.
    """
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank, world_size: got rank {rank} of {world_size}; ranks count from 0")


class AnnotatedBatchSampler(Sampler[list[int]]):
    """Batches in which annotated images are spread evenly; each image comes once per epoch.

    With few annotated images, random batches often hold none, and the explanation loss is then missing
    from the step. Here every batch holds its share of them, up to rounding.

    The images are cut into ceil(N / (batch_size * world_size)) *global* batches whose sizes differ by at
    most one: no small last batch, which BatchNorm and the pooled threshold of RES would suffer from. Each
    global batch is cut into one slice per rank in the same way. So W ranks with batch size b see the same
    global batches as one process with batch size b * W, all ranks have the same number of batches, and no
    slice is empty. The one exception: if batch_size is 1 and a global batch came out smaller than
    world_size, fewer and larger ones are cut, whose slices hold up to two images.

    The sampler shards by rank itself: call Fabric's `setup_dataloaders(..., use_distributed_sampler=False)`.

    Args:
        annotated: for each image of the data set, whether it is annotated
        batch_size: images per step and process, at most
        seed: of the order
        shuffle: another order in every epoch; False keeps the order of the data set within annotated and
            unannotated images
        rank: of this process
        world_size: number of processes

    Raises:
        ConfigError: an argument out of range, or fewer images than processes.

    Example:
        >>> sampler = AnnotatedBatchSampler([True, True, False, False, False, False], 3, shuffle=False)
        >>> list(sampler)
        [[0, 2, 3], [1, 4, 5]]
    """

    def __init__(
        self,
        annotated: Sequence[bool],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size: got {batch_size}; give 1 or more")
        check_rank(rank, world_size)
        if seed < 0:
            raise ConfigError(f"seed: got {seed}; give 0 or more")
        if len(annotated) < world_size:
            raise ConfigError(
                f"world_size: {len(annotated)} images cannot be shared out among {world_size} processes; "
                "use fewer processes or more images"
            )
        self._annotated = np.asarray(annotated, dtype=bool)
        self._seed = seed
        self._shuffle = shuffle
        self._rank = rank
        self._world_size = world_size
        self._epoch = 0
        images = len(annotated)
        batches = min(-(-images // (batch_size * world_size)), images // world_size)
        self._sizes = even_parts(images, batches)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins: every epoch has another order.

        Args:
            epoch: counted from 0
        """
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches per epoch, the same on every rank."""
        return len(self._sizes)

    def __iter__(self) -> Iterator[list[int]]:
        marked, unmarked = np.flatnonzero(self._annotated), np.flatnonzero(~self._annotated)
        if self._shuffle:
            generator = np.random.default_rng([self._seed, self._epoch])
            marked, unmarked = generator.permutation(marked), generator.permutation(unmarked)
        for batch_marked, batch_unmarked in _deal(marked, unmarked, self._sizes):
            slices = even_parts(len(batch_marked) + len(batch_unmarked), self._world_size)
            mine = list(_deal(batch_marked, batch_unmarked, slices))[self._rank]
            yield np.concatenate(mine).tolist()


_Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


def _deal(marked: _Indices, unmarked: _Indices, sizes: Sequence[int]) -> Iterator[tuple[_Indices, _Indices]]:
    """Parts of the given sizes, each with its share of the marked (cumulative rounding: all are used)."""
    total = len(marked) + len(unmarked)
    end = end_marked = 0
    for size in sizes:
        start, start_marked = end, end_marked
        end += size
        end_marked = (2 * len(marked) * end + total) // (2 * total)  # rounded half up, in whole numbers
        yield marked[start_marked:end_marked], unmarked[start - start_marked : end - end_marked]


def even_parts(total: int, parts: int) -> list[int]:
    """Sizes that differ by at most one, the larger ones first."""
    return [total // parts + (part < total % parts) for part in range(parts)]
