from itertools import product

import numpy as np
import pytest

from lookright.data import AnnotatedBatchSampler
from lookright.errors import ConfigError


def annotated(images: int, share: float) -> list[bool]:
    return (np.random.default_rng(images).random(images) < share).tolist()


@pytest.mark.parametrize(
    ("images", "batch", "world"),
    list(product([7, 20, 23, 64, 101], [1, 2, 5, 20], [1, 2, 3, 4])),
)
def test_every_image_once_over_all_ranks(images: int, batch: int, world: int) -> None:
    marks = annotated(images, 0.3)
    ranks = [list(AnnotatedBatchSampler(marks, batch, rank=rank, world_size=world)) for rank in range(world)]
    assert sorted(index for batches in ranks for part in batches for index in part) == list(range(images))
    assert {len(batches) for batches in ranks} == {len(AnnotatedBatchSampler(marks, batch, world_size=world))}
    parts = [len(part) for batches in ranks for part in batches]
    assert min(parts) >= 1
    assert max(parts) <= (batch if batch > 1 or world == 1 else 2)
    for step in zip(*ranks, strict=True):
        sizes = [len(part) for part in step]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("images", "batch", "world"), list(product([20, 23, 64, 101], [2, 5], [2, 4])))
def test_ranks_see_the_global_batches_of_one_process(images: int, batch: int, world: int) -> None:
    marks = annotated(images, 0.3)
    alone = [sorted(part) for part in AnnotatedBatchSampler(marks, batch * world, seed=5)]
    ranks = [
        AnnotatedBatchSampler(marks, batch, seed=5, rank=rank, world_size=world) for rank in range(world)
    ]
    together = [sorted(index for part in step for index in part) for step in zip(*ranks, strict=True)]
    assert alone == together


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 0.9, 1.0])
def test_annotated_images_are_spread_evenly(share: float) -> None:
    marks = np.array(annotated(203, share))
    counts = [int(marks[part].sum()) for part in AnnotatedBatchSampler(marks.tolist(), 20)]
    assert sum(counts) == marks.sum()
    assert max(counts) - min(counts) <= 1 + (share > 0)  # batches of 18 and 19


def test_epochs_and_seeds_differ_and_repeat() -> None:
    marks = annotated(50, 0.3)
    sampler = AnnotatedBatchSampler(marks, 10)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(AnnotatedBatchSampler(marks, 10, seed=1)) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_without_shuffling_the_order_stays() -> None:
    sampler = AnnotatedBatchSampler([False] * 5, 2, shuffle=False)
    assert list(sampler) == [[0, 1], [2, 3], [4]]
    sampler.set_epoch(3)
    assert list(sampler) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2, "rank": 2, "world_size": 2}, "rank"),
        ({"batch_size": 2, "world_size": 9}, "8 images cannot be shared out among 9"),
        ({"batch_size": 2, "seed": -1}, "seed"),
    ],
)
def test_arguments_out_of_range(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AnnotatedBatchSampler([True] * 8, **options)
