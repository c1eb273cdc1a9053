"""Where the batches of an epoch come from: from memory where features stand in for the photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler

from lookright.data import ExplanationDataset, ResidentDataset, collate
from lookright.engine.trunk import FrozenTrunk
from lookright.types import Batch


def load_batches(
    dataset: ExplanationDataset,
    batches: Sampler[list[int]] | int,
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    trunk: FrozenTrunk | None = None,
) -> Iterable[Batch]:
    """Give the batches of a data set, anew in every epoch: each iteration is one.

    Where the trunk serves every image, and the annotations fit into the memory that the data set may take,
    no photo is opened and the batches are on the device already. Otherwise photos are loaded, in worker
    processes that live on from epoch to epoch, so that they decode each photo once. Neither way draws from
    torch's global random numbers: dropout is the same.

    Args:
        dataset: the images
        batches: gives the indices of each batch; or how many images, in order
        device: where the network is
        workers: processes that load photos
        trunk: features of the frozen part, filled
    """
    if isinstance(batches, int):
        batches = BatchSampler(SequentialSampler(dataset), batches, drop_last=False)
    fits = ResidentDataset.nbytes(dataset) <= dataset.cache_bytes
    if fits and trunk is not None and trunk.serves(dataset):
        return _Gathered(ResidentDataset(dataset, device), batches)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.device(device).type == "cuda",
        generator=torch.Generator(),
    )


class _Gathered:
    def __init__(self, dataset: ResidentDataset, batches: Iterable[Sequence[int]]) -> None:
        self.dataset, self.batches = dataset, batches

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.batches:
            yield self.dataset.batch(indices)
