"""The clusters of an audit: which images, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookright.audit.clusters import cluster_explanations
from lookright.audit.findings import FEWEST, PATTERN_FROM, Finding, find, suspicion
from lookright.audit.looks import Looks
from lookright.audit.pattern import Pattern, find_pattern
from lookright.audit.regions import Place, densest_place
from lookright.audit.sameness import pixel_variance, sameness

_TYPICAL = 6


@dataclass(frozen=True, eq=False)
class Cluster:
    """Images that were predicted as one class, and explained alike."""

    predicted: str
    """name of the class"""
    number: int
    """from 1, the largest first, in its class"""
    rows: tuple[int, ...]
    """of the audit's images, the most typical first"""
    share: float
    """of the images that were predicted as this class"""
    right: int
    """predicted right, of `known`"""
    known: int
    """images whose label the model knows"""
    confidence: float
    """mean probability of the predicted class"""
    border: float
    """mean share of the evidence along the border"""
    place: Place
    """where the mean map has most of its evidence"""
    sameness: float
    """of `lookright.audit.sameness`; NaN where it is not told"""
    pattern: float
    """share of the images that show, away from the middle, what those of this class have in common where the
    model looks (`lookright.audit.pattern`); 0 if that is nothing"""
    common: NDArray[np.float32]
    """that pattern, (3, 8, 8) from 0 to 255"""
    moves: NDArray[np.float64]
    """per image, how much more covering the map's region moves the prediction than covering another place"""
    annotated: int = 0
    iou: float | None = None
    """mean overlap with the annotations; None where none of them is positive anywhere"""
    lift: float | None = None
    """evidence in the annotated regions, as a multiple of what an even map would have there"""
    findings: tuple[Finding, ...] = field(default=())

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.predicted} #{self.number}"

    @property
    def size(self) -> int:
        """How many images."""
        return len(self.rows)

    @property
    def typical(self) -> tuple[int, ...]:
        """Rows of the images whose maps are most like the mean map."""
        return self.rows[:_TYPICAL]

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions; None where no label is known."""
        return self.right / self.known if self.known else None

    @property
    def is_off_centre(self) -> bool:
        """Whether the densest place is not in the middle of the image."""
        return self.place.name != "centre"

    @property
    def suspicion(self) -> float:
        """How much it looks like a shortcut, in [0, 1]."""
        return suspicion(self)

    @property
    def is_suspected(self) -> bool:
        """Whether a finding suggests a shortcut."""
        return any(finding.kind.is_shortcut for finding in self.findings)


def make_clusters(looks: Looks, *, most: int = 8) -> list[Cluster]:
    """Cluster the explanations of each predicted class, and judge each cluster.

    Args:
        looks: what the model made of each image
        most: as of `cluster_explanations`

    Returns:
        the suspected ones first, those with fewer than three images last, the more suspicious before others
    """
    predicted = looks.predicted
    of_all = pixel_variance(looks.thumbnails)
    found = []
    for label in sorted(set(predicted.tolist())):
        rows = np.flatnonzero(predicted == label)
        groups = cluster_explanations(looks.explanation[torch.from_numpy(rows)], most=most)
        explained = torch.from_numpy(rows[groups >= 0])
        pattern = find_pattern(looks.thumbnails[explained], looks.explanation[explained])
        shows = np.zeros(len(looks), dtype=bool)
        if pattern.explained >= PATTERN_FROM:
            shows[explained] = pattern.holds & pattern.off_centre
        found += [
            _cluster(looks, number, rows[groups == number], len(rows), of_all, shows, pattern)
            for number in range(groups.max() + 1)
        ]
    judged = [replace(cluster, findings=find(cluster, _others(cluster, found))) for cluster in found]
    return sorted(
        judged, key=lambda cluster: (not cluster.is_suspected, cluster.size < FEWEST, -cluster.suspicion)
    )


def _cluster(
    looks: Looks,
    number: int,
    rows: NDArray[np.int64],
    of: int,
    of_all: Tensor,
    shows: NDArray[np.bool_],
    pattern: Pattern,
) -> Cluster:
    label = int(looks.predicted[rows[0]])
    at = torch.from_numpy(rows)
    maps = looks.explanation[at].clamp(min=0)
    maps = maps / maps.sum(dim=(1, 2), keepdim=True)
    mean = maps.mean(dim=0)
    place = densest_place(mean)
    label_known = looks.label[rows] >= 0
    annotated = rows[looks.annotated[rows]]
    return Cluster(
        predicted=looks.classes[label],
        number=number + 1,
        rows=tuple(int(row) for row in rows[_most_typical(maps, mean)]),
        share=len(rows) / of,
        right=int((looks.label[rows] == label).sum()),
        known=int(label_known.sum()),
        confidence=float(looks.probability[rows].mean()),
        border=float(looks.border[rows].mean()),
        place=place,
        sameness=sameness(looks.thumbnails[at], of_all, place),
        pattern=float(shows[rows].mean()),
        common=pattern.picture.numpy(),
        moves=(looks.effect - looks.effect_elsewhere)[rows],
        annotated=len(annotated),
        iou=_iou(looks, annotated),
        lift=_lift(looks, annotated),
    )


def _most_typical(maps: Tensor, mean: Tensor) -> NDArray[np.int64]:
    flat, centre = maps.flatten(1), mean.flatten()
    cosine = (flat @ centre) / (flat.norm(dim=1) * centre.norm())
    return np.asarray(cosine.argsort(descending=True, stable=True))


def _iou(looks: Looks, annotated: NDArray[np.int64]) -> float | None:
    told = looks.iou[annotated][np.isfinite(looks.iou[annotated])]  # not of negative marks alone
    return float(told.mean()) if len(told) else None


def _lift(looks: Looks, annotated: NDArray[np.int64]) -> float | None:
    told = annotated[np.isfinite(looks.epg[annotated]) & (looks.marked[annotated] > 0)]
    return float(looks.epg[told].mean() / looks.marked[told].mean()) if len(told) else None


def _others(cluster: Cluster, found: Sequence[Cluster]) -> tuple[int, int] | None:
    others = [other for other in found if other.predicted == cluster.predicted and other is not cluster]
    known = sum(other.known for other in others)
    return (sum(other.right for other in others), known) if known else None


COLUMNS: dict[str, Callable[[Cluster], object]] = {
    "cluster": lambda cluster: cluster.name,
    "predicted": lambda cluster: cluster.predicted,
    "images": lambda cluster: cluster.size,
    "share": lambda cluster: cluster.share,
    "accuracy": lambda cluster: cluster.accuracy,
    "confidence": lambda cluster: cluster.confidence,
    "suspected": lambda cluster: cluster.is_suspected,
    "suspicion": lambda cluster: cluster.suspicion,
    "place": lambda cluster: cluster.place.name,
    "evidence_there": lambda cluster: cluster.place.share,
    "sameness": lambda cluster: cluster.sameness,
    "pattern": lambda cluster: cluster.pattern,
    "evidence_border": lambda cluster: cluster.border,
    "moves": lambda cluster: float(cluster.moves.mean()),
    "annotated": lambda cluster: cluster.annotated,
    "iou": lambda cluster: cluster.iou,
    "lift": lambda cluster: cluster.lift,
    "findings": lambda cluster: ";".join(finding.kind.value for finding in cluster.findings),
}
"""Columns of clusters.csv -> what is in them"""


def cluster_rows(clusters: Sequence[Cluster]) -> list[dict[str, object]]:
    """Give the rows of clusters.csv."""
    return [{name: tell(cluster) for name, tell in COLUMNS.items()} for cluster in clusters]
