"""Ways of looking: the audit's groups of explanations, so that photos of each come to be annotated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookright.annotate.order import Prediction
from lookright.audit.clusters import cluster_explanations
from lookright.data.annotations import Item
from lookright.data.splits import shuffle_key

MOST = 2000
"""Photos of a class that are grouped: at worst a second's work, which grows faster than their number."""


def ways_of_looking(
    items: Sequence[Item], maps: Mapping[int, Tensor], predictions: Mapping[int, Prediction]
) -> dict[int, int]:
    """Group the photos of each predicted class by their maps.

    Args:
        items: the photos
        maps: (h, w) of the predicted class, by position
        predictions: by position

    Returns:
        position -> number of its group, in its class
    """
    of_class: dict[int, list[int]] = defaultdict(list)
    for index in sorted(maps, key=lambda index: shuffle_key(0, items[index].id)):
        of_class[predictions[index].predicted].append(index)
    return {
        index: int(way)
        for indices in of_class.values()
        for index, way in zip(indices, group(torch.stack([maps[i] for i in indices])), strict=True)
    }


def group(explanation: Tensor, most: int = MOST) -> NDArray[np.int64]:
    """Group the first explanations as an audit does; the others join those that they are most like.

    Args:
        explanation: (N, h, w), in any order
        most: explanations that groups are made of

    Returns:
        (N,) as of `cluster_explanations`

    Example:
        >>> maps = torch.zeros(30, 4, 4)
        >>> maps[::2, 0, 0] = maps[1::2, 3, 3] = 1
        >>> group(maps, most=24)[-6:].tolist()
        [0, 1, 0, 1, 0, 1]
    """
    first = cluster_explanations(explanation[:most])
    points = F.normalize(explanation.float().clamp(min=0).flatten(1), dim=1)
    known, rest = points[:most], points[most:]
    if first.max(initial=-1) < 0:
        return np.full(len(points), -1)
    means = torch.stack([known[torch.from_numpy(first == way)].mean(dim=0) for way in range(first.max() + 1)])
    others = (rest @ F.normalize(means, dim=1).T).argmax(dim=1)
    others[rest.sum(dim=1) == 0] = -1
    return np.concatenate([first, others.numpy()])
