"""Accuracy and reasonability by class, by group of the data, and by group of explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookright.audit.cluster_table import Cluster
from lookright.audit.looks import Looks
from lookright.metrics import Cell

CELLS = (
    Cell.REASONABLE_ACCURATE,
    Cell.UNREASONABLE_ACCURATE,
    Cell.REASONABLE_INACCURATE,
    Cell.UNREASONABLE_INACCURATE,
)
LISTED = 40
"""Classes, and groups of each kind, that a page has room for."""
_SEVERAL = {
    "all": "all",
    "class": "classes",
    "data group": "groups of the data",
    "group": "groups of explanations",
}


@dataclass(frozen=True)
class Subset:
    """Images that have their class, or a group, in common."""

    kind: str
    """'all', 'class' (the true one), 'data group' (that the data says) or 'group' (of explanations)"""
    name: str
    images: int
    right: int
    known: int
    """images whose label the model knows"""
    cells: dict[Cell, int]
    """reasonability matrix (Gao et al., GRADIA, CSCW 2022), in the order of `CELLS`"""

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions; None where no label is known."""
        return self.right / self.known if self.known else None

    @property
    def judged(self) -> int:
        """Images in the matrix: labelled and annotated."""
        return sum(self.cells.values())


def subsets(looks: Looks, clusters: Sequence[Cluster] = ()) -> list[Subset]:
    """All images, each true class, each group: those with the lowest accuracy first within each kind.

    Args:
        looks: the images
        clusters: groups of explanations
    """
    everything = [_subset(looks, "all", "all images", np.ones(len(looks), dtype=bool))]
    classes = sorted(_by_class(looks), key=_worst_first)
    groups = sorted(_by_group(looks), key=_worst_first)
    explained = sorted(_by_cluster(looks, clusters), key=_worst_first)
    return everything + (classes if len(classes) > 1 else []) + groups + explained


def shorten(found: Sequence[Subset], most: int = LISTED) -> tuple[list[Subset], list[str]]:
    """Keep the first of each kind, and say what is left out.

    Args:
        found: as of `subsets`
        most: to be kept of each kind

    Returns:
        what is kept, and a sentence for each kind that had more
    """
    kept: list[Subset] = []
    said = []
    for kind, several in _SEVERAL.items():
        of_kind = [subset for subset in found if subset.kind == kind]
        kept += of_kind[:most]
        if len(of_kind) > most:
            said.append(
                f"Listed are {most} of {len(of_kind)} {several}, those with the lowest accuracy; "
                "per_image.csv has the images of all."
            )
    return kept, said


def _by_class(looks: Looks) -> Iterator[Subset]:
    for label in sorted(set(looks.label.tolist()) - {-1}):
        yield _subset(looks, "class", looks.classes[label], looks.label == label)


def _by_group(looks: Looks) -> Iterator[Subset]:
    for name in sorted({group for group in looks.group if group}):
        yield _subset(looks, "data group", name, np.array([group == name for group in looks.group]))


def _by_cluster(looks: Looks, clusters: Sequence[Cluster]) -> Iterator[Subset]:
    for cluster in clusters:
        members = np.zeros(len(looks), dtype=bool)
        members[list(cluster.rows)] = True
        yield _subset(looks, "group", cluster.name, members)


def _subset(looks: Looks, kind: str, name: str, members: NDArray[np.bool_]) -> Subset:
    rows = np.flatnonzero(members)
    known = looks.label[rows] >= 0
    found = [looks.cell(int(row)) for row in rows]
    return Subset(
        kind=kind,
        name=name,
        images=len(rows),
        right=int((looks.predicted[rows] == looks.label[rows])[known].sum()),
        known=int(known.sum()),
        cells={cell: found.count(cell) for cell in CELLS},
    )


def _worst_first(subset: Subset) -> tuple[float, str]:
    return (2.0 if subset.accuracy is None else subset.accuracy, subset.name)
