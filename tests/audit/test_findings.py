from dataclasses import replace

import numpy as np
import pytest

from lookright.audit.cluster_table import Cluster
from lookright.audit.findings import Kind, find, is_above_zero
from lookright.audit.regions import Place

HARMLESS = Cluster(
    predicted="cat",
    number=1,
    rows=tuple(range(20)),
    share=0.5,
    right=18,
    known=20,
    confidence=0.9,
    border=0.3,
    place=Place(1 / 3, 1 / 3, 1 / 3, share=0.5),
    sameness=0.1,
    pattern=0.0,
    common=np.zeros((3, 8, 8), dtype=np.float32),
    moves=np.linspace(1.0, 2.0, 20),
    annotated=20,
    iou=0.5,
    lift=2.0,
)
CORNER = Place(0.0, 0.0, 1 / 3, share=0.3)


def kinds(cluster: Cluster, others: tuple[int, int] | None = (18, 20)) -> list[Kind]:
    return [finding.kind for finding in find(cluster, others)]


def test_a_harmless_group_has_no_finding() -> None:
    assert kinds(HARMLESS) == []
    assert not replace(HARMLESS, findings=find(HARMLESS, None)).is_suspected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"place": CORNER, "sameness": 0.9}, Kind.SAME_THING),
        ({"pattern": 0.6}, Kind.SAME_ANYWHERE),
        ({"place": replace(CORNER, share=0.55)}, Kind.ONE_PLACE),
        ({"border": 0.6}, Kind.BORDER),
        ({"lift": 0.9}, Kind.OUTSIDE),
        ({"right": 8}, Kind.LESS_ACCURATE),
        ({"moves": np.array([1.0, -1.0] * 10)}, Kind.UNMOVED),
    ],
)
def test_each_finding_has_its_own_reason(change: dict[str, object], expected: Kind) -> None:
    cluster = replace(HARMLESS, **change)
    assert kinds(cluster) == [expected]
    (finding,) = find(cluster, (18, 20))
    assert finding.reason.endswith(".")
    assert replace(cluster, findings=(finding,)).is_suspected == expected.is_shortcut


@pytest.mark.parametrize(
    "change",
    [
        {"sameness": 0.95},  # objects of one kind, in the middle
        {"place": CORNER, "sameness": float("nan")},
        {"lift": None},
        {"right": 15},  # chance
        {"rows": (0, 1), "moves": np.array([0.0, 0.0])},
    ],
)
def test_what_proves_nothing_is_not_said(change: dict[str, object]) -> None:
    assert kinds(replace(HARMLESS, **change)) == []


def test_accuracy_is_judged_by_the_hypergeometric_tail() -> None:
    from math import comb

    # 14 of 20 right here, 20 of 20 elsewhere: chance of at most 14 among 20 drawn from 34 right and 6 wrong.
    tail = sum(comb(34, k) * comb(6, 20 - k) for k in range(14, 15)) / comb(40, 20)
    assert (tail < 0.01) == (kinds(replace(HARMLESS, right=14), (20, 20)) == [Kind.LESS_ACCURATE])
    tail = sum(comb(35, k) * comb(5, 20 - k) for k in range(15, 16)) / comb(40, 20)
    assert (tail < 0.01) == (kinds(replace(HARMLESS, right=15), (20, 20)) == [Kind.LESS_ACCURATE])


def test_nothing_is_said_of_accuracy_without_labels() -> None:
    assert kinds(replace(HARMLESS, right=0, known=0), None) == []


def test_suspicion_rises_with_evidence_and_sameness_and_falls_in_the_middle() -> None:
    corner = replace(HARMLESS, place=replace(CORNER, share=0.6), sameness=1.0)
    assert corner.suspicion == pytest.approx(0.6)
    assert replace(corner, sameness=0.0).suspicion == pytest.approx(0.3)
    assert replace(corner, sameness=float("nan")).suspicion == pytest.approx(0.3)
    middle = replace(corner, place=replace(HARMLESS.place, share=0.6))
    assert middle.suspicion == pytest.approx(0.3)
    assert replace(middle, pattern=0.9).suspicion == pytest.approx(0.45)


def test_one_value_is_not_clearly_above_zero() -> None:
    assert not is_above_zero(np.array([5.0]))
