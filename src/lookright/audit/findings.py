"""What is wrong with a cluster of explanations, with the reason in words."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from lookright.audit.regions import BORDER_FROM

if TYPE_CHECKING:
    from lookright.audit.cluster_table import Cluster

SAME_FROM = 0.85
PATTERN_FROM = 0.5
ONE_PLACE_FROM = 0.5
CERTAIN = 0.01
"""Chance that accuracies differ so much where there is no difference."""
FEWEST = 3
"""Images below which a group is no pattern."""
FEWEST_SPREAD = 8
"""Images below which figures that need a spread are not judged."""


class Kind(enum.Enum):
    """What an audit can find, as csv files name it."""

    SAME_THING = "same-thing"
    """the same thing lies at the same place, away from the middle"""
    SAME_ANYWHERE = "same-thing-anywhere"
    """the same thing lies where the model looks, at one place or another away from the middle"""
    ONE_PLACE = "one-place"
    """most evidence lies at one place, away from the middle"""
    BORDER = "border"
    OUTSIDE = "outside-annotation"
    LESS_ACCURATE = "less-accurate"
    UNMOVED = "prediction-unmoved"
    """covering what the map shows changes little"""

    @property
    def is_shortcut(self) -> bool:
        """Whether it suggests that something beside the object decides."""
        return self in (Kind.SAME_THING, Kind.SAME_ANYWHERE, Kind.ONE_PLACE, Kind.BORDER)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and why it is said."""

    kind: Kind
    reason: str
    """a sentence"""


def suspicion(cluster: Cluster) -> float:
    r"""How much a cluster looks like a shortcut, to put the worst first.

        max( share(place) (1 + max(sameness, 0)) / 2,  pattern / 2 )

    with the share of the evidence that lies in the densest ninth of the image, how alike the images are
    there, and the share of images that show one pattern where the model looks, away from the middle. The
    first is halved if the place is the middle: objects lie there in most photos.

    Returns:
        in [0, 1]
    """
    same = 0.0 if math.isnan(cluster.sameness) else max(cluster.sameness, 0.0)
    at_place = cluster.place.share * (1 + same) / 2
    return max(at_place if cluster.is_off_centre else at_place / 2, cluster.pattern / 2)


def find(cluster: Cluster, others_right: tuple[int, int] | None) -> tuple[Finding, ...]:
    """Judge one cluster.

    Args:
        cluster: its figures
        others_right: of the other images that were predicted as the same class: how many are right, and how
            many have a known label; None where there are none
    """
    return tuple(_findings(cluster, others_right))


def _findings(cluster: Cluster, others_right: tuple[int, int] | None) -> Iterator[Finding]:
    if cluster.size < FEWEST:
        return
    place = cluster.place
    if cluster.is_off_centre and cluster.sameness >= SAME_FROM:
        left = 1 - cluster.sameness
        varies = "hardly vary" if left < 0.01 else f"vary {_percent(left)} as much as all images do"
        yield Finding(
            Kind.SAME_THING, f"The same thing lies at the {place.name}: there these images {varies}."
        )
    elif cluster.pattern >= PATTERN_FROM:
        yield Finding(
            Kind.SAME_ANYWHERE,
            f"In {_percent(cluster.pattern)} of these images the same thing lies where the model looks, at "
            "one place or another away from the middle.",
        )
    if cluster.is_off_centre and place.share >= ONE_PLACE_FROM:
        yield Finding(
            Kind.ONE_PLACE,
            f"{_percent(place.share)} of the evidence lies in one ninth of the image, at the {place.name}.",
        )
    if cluster.border >= BORDER_FROM:
        yield Finding(
            Kind.BORDER,
            f"{_percent(cluster.border)} of the evidence lies along the border; an even map would have 44 %.",
        )
    if cluster.lift is not None and cluster.lift <= 1:
        yield Finding(
            Kind.OUTSIDE,
            f"The annotated regions hold {cluster.lift:.1f} times the evidence that an even map would give "
            f"them ({cluster.annotated} annotated images).",
        )
    if cluster.known and others_right is not None:
        right, of = others_right
        table = [[cluster.right, cluster.known - cluster.right], [right, of - right]]
        if float(fisher_exact(table, alternative="less").pvalue) < CERTAIN:
            yield Finding(
                Kind.LESS_ACCURATE,
                f"{_percent(cluster.right / cluster.known)} of these predictions are right, of the other "
                f"predictions of {cluster.predicted} {_percent(right / of)}.",
            )
    if cluster.size >= FEWEST_SPREAD and not is_above_zero(cluster.moves):
        yield Finding(
            Kind.UNMOVED,
            "Covering what the map shows moves the prediction no more than covering another place: the map "
            "may not show what decides.",
        )


def is_above_zero(values: NDArray[np.float64]) -> bool:
    """Whether the mean is more than two standard errors above 0.

    Example:
        >>> is_above_zero(np.array([1.0, 1.2, 0.9])), is_above_zero(np.array([3.0, -3.0, 0.1]))
        (True, False)
    """
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return float(np.mean(values)) > 2 * error


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
