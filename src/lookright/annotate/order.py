"""Which photo to annotate next: the one that teaches most first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple, TypeVar

from lookright.data.annotations import Item
from lookright.data.splits import shuffle_key

K = TypeVar("K", bound=Hashable)

_SURE = 0.5
"""Half way from 1/K to 1: a probability above it is a sure one."""


class Prediction(NamedTuple):
    """What a model makes of a photo."""

    predicted: int
    """index of the class"""
    probability: float
    """of that class"""


def teaching_order(
    items: Sequence[Item],
    predictions: Mapping[int, Prediction],
    classes: int,
    unreasonable: Mapping[int, float] | None = None,
    ways: Mapping[int, int] | None = None,
) -> list[int]:
    """Order photos by how much their marks can teach.

    First those that the model gets wrong and is sure of, the surest first; then those where it is right and
    sure, but looks elsewhere than the marks that are there already, the farthest off first; then those that
    it is unsure of, the least sure first; then the others; last those that it has not seen yet. Each is
    spread over the predicted classes in turn, and in each class over the ways of looking, so that what goes
    wrong often does not come alone; photos without a prediction are spread over their labels, and shuffled.

    Args:
        items: the photos, labels in the model's order
        predictions: by position, as far as they are known
        classes: K, 2 or more where there are predictions
        unreasonable: overlap of map and marks, by position, of those photos where that is low
        ways: which of its class's ways of looking each photo shows, by position, as far as that is known

    Returns:
        positions, each once

    Example:
        >>> from pathlib import Path
        >>> items = [Item(f"{i}.png", Path(f"{i}.png"), label=0, split="train") for i in range(3)]
        >>> told = {0: Prediction(0, 0.99), 1: Prediction(0, 0.52), 2: Prediction(1, 0.9)}
        >>> teaching_order(items, told, 2)
        [2, 1, 0]
    """
    unreasonable, ways = unreasonable or {}, ways or {}
    wrong: list[int] = []
    elsewhere: list[int] = []
    unsure: list[int] = []
    others: list[int] = []
    unseen: list[int] = []
    for index, item in enumerate(items):
        prediction = predictions.get(index)
        if prediction is None:
            unseen.append(index)
        elif _sureness(prediction, classes) < _SURE:
            unsure.append(index)
        elif item.label >= 0 and prediction.predicted != item.label:
            wrong.append(index)
        elif index in unreasonable:
            elsewhere.append(index)
        else:
            others.append(index)
    surest_first = sorted(wrong, key=lambda index: -predictions[index].probability)
    farthest_first = sorted(elsewhere, key=unreasonable.__getitem__)
    least_sure_first = (
        sorted(part, key=lambda index: predictions[index].probability) for part in (unsure, others)
    )
    unseen.sort(key=lambda index: shuffle_key(0, items[index].id))
    predicted = {index: prediction.predicted for index, prediction in predictions.items()}
    return [
        *chain.from_iterable(
            spread(spread(part, lambda index: (predicted[index], ways.get(index))), predicted.__getitem__)
            for part in (surest_first, farthest_first, *least_sure_first)
        ),
        *spread(unseen, lambda index: items[index].label),
    ]


def spread(indices: Iterable[int], group: Callable[[int], K]) -> list[int]:
    """Take one of each group in turn; within a group the order stays.

    Args:
        indices: what to order
        group: of an index

    Example:
        >>> spread([1, 3, 5, 2, 4], lambda index: index % 2)
        [1, 2, 3, 4, 5]
    """
    groups: dict[K, list[int]] = defaultdict(list)
    for index in indices:
        groups[group(index)].append(index)
    turns = zip_longest(*groups.values())
    return [index for turn in turns for index in turn if index is not None]


def _sureness(prediction: Prediction, classes: int) -> float:
    """0 where the probability is 1/K, 1 where it is 1."""
    even = 1 / classes
    return (prediction.probability - even) / (1 - even)
