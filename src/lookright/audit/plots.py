"""A picture of the clusters of each class: every image a point, alike explanations together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lookright.audit.cluster_table import Cluster
from lookright.audit.clusters import FEWEST, embed_explanations
from lookright.audit.looks import Looks
from lookright.report.curves import COLOURS

WIDTH, HEIGHT = 320, 240
_MARGIN = 12
_MOST_CLASSES = 6


@dataclass(frozen=True)
class Point:
    """One image."""

    x: float
    y: float
    colour: int
    shape: int


@dataclass(frozen=True)
class Plot:
    """The images that were predicted as one class."""

    title: str
    points: tuple[Point, ...]
    legend: tuple[tuple[str, Point], ...]
    """name of each cluster, and a point of its colour and shape"""


def draw_clusters(looks: Looks, clusters: Sequence[Cluster]) -> list[Plot]:
    """Lay out the images of the six largest classes of `to_draw`."""
    largest = sorted(to_draw(clusters)[:_MOST_CLASSES])
    by_number = sorted(clusters, key=lambda cluster: cluster.number)
    return [
        _plot(looks, name, [cluster for cluster in by_number if cluster.predicted == name])
        for name in largest
    ]


def to_draw(clusters: Sequence[Cluster]) -> list[str]:
    """Predicted classes with 12 images or more, the largest first."""
    sizes: Counter[str] = Counter()
    for cluster in clusters:
        sizes[cluster.predicted] += cluster.size
    return [name for name, size in sizes.most_common() if size >= FEWEST]


def _plot(looks: Looks, name: str, clusters: Sequence[Cluster]) -> Plot:
    of_row = {row: cluster.number - 1 for cluster in clusters for row in cluster.rows}
    rows = sorted(of_row)
    laid = embed_explanations(looks.explanation[torch.tensor(rows)])
    there = np.isfinite(laid[:, 0])
    low, high = laid[there].min(axis=0), laid[there].max(axis=0)
    size = np.array([WIDTH, HEIGHT]) - 2 * _MARGIN
    at = _MARGIN + (laid - low) / np.maximum(high - low, 1e-9) * size
    points = tuple(
        _point(float(x), float(y), of_row[row])
        for row, (x, y), is_there in zip(rows, at, there, strict=True)
        if is_there
    )
    legend = tuple((cluster.name, _point(6, 6, cluster.number - 1)) for cluster in clusters)
    of = f"{len(rows):,}" if len(points) == len(rows) else f"the first {len(points):,} of {len(rows):,}"
    return Plot(f"{name}: {of} images", points, legend)


def _point(x: float, y: float, number: int) -> Point:
    return Point(round(x, 1), round(y, 1), number % COLOURS, number % 4)
