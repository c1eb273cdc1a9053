"""Statistics against scipy, and against p values found by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from lookright.evidence.statistics import (
    bootstrap_images,
    bootstrap_worst_group,
    holm,
    permutation_test,
    smallest_p,
    t_interval,
)


def test_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.02, 7)
    low, high = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    found = t_interval([*values, math.nan])
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((values.mean(), low, high, 7))


def test_interval_of_few() -> None:
    assert t_interval([]).n == 0
    alone = t_interval([0.5])
    assert alone.mean == 0.5
    assert math.isnan(alone.half)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, 2.0, 3.0], 0.25),
        ([-1.0, -2.0, -3.0], 0.25),
        ([1.0, 1.0, -1.0], 1.0),  # |1| or |3|: every sum is as far as 1
        ([0.1, 0.2, 0.3, 0.4, 0.5], 2 / 32),
        ([0.0, 0.0], 1.0),
        ([0.3, -0.1], 1.0),  # |0.2| twice and |0.4| twice
    ],
)
def test_permutation_by_hand(differences: list[float], p: float) -> None:
    assert permutation_test(differences) == pytest.approx(p)


def test_permutation_is_scipys() -> None:
    rng = np.random.default_rng(1)
    for n in (4, 8, 11):
        ours, theirs = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
        found = stats.permutation_test(
            (ours, theirs), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=np.inf
        )
        assert permutation_test(ours - theirs) == pytest.approx(found.pvalue)


def test_permutation_of_many_is_drawn() -> None:
    differences = np.random.default_rng(2).normal(0.2, 1, 40)
    p = permutation_test(differences, draws=20_000)
    assert p == permutation_test(differences, draws=20_000)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)
    assert permutation_test(np.ones(40), draws=1000) == 1 / 1001


def test_no_pair() -> None:
    assert math.isnan(permutation_test([]))
    assert math.isnan(permutation_test([math.nan, 1.0]))
    assert smallest_p(1) == 1.0


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, 0.04 * 2, then 0.045 * 1, which may not be less than the one before it
    assert holm([0.04, 0.01, 0.045, 0.02]) == pytest.approx([0.08, 0.04, 0.08, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    with_none = holm([0.01, math.nan, 0.02])
    assert with_none[0] == 0.02
    assert math.isnan(with_none[1])
    assert holm([]) == []


def test_bootstrap_is_scipys() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(0.1, 1, (3, 200)) + rng.normal(0, 1, 200)
    found = bootstrap_images(table)
    theirs = stats.bootstrap(
        (table.mean(axis=0),), np.mean, method="percentile", n_resamples=9999, rng=rng
    ).confidence_interval
    assert found.mean == pytest.approx(table.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_seeds_that_share_images_do_not_narrow_the_interval() -> None:
    row = np.random.default_rng(4).normal(0, 1, 100)
    one, many = bootstrap_images(row), bootstrap_images(np.tile(row, (20, 1)))
    assert (one.low, one.high) == pytest.approx((many.low, many.high))


def test_images_without_a_value_are_left_out() -> None:
    found = bootstrap_images([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0]])
    assert (found.mean, found.n) == (2.0, 2)


def test_worst_groups_of_resamples_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    groups = ["a"] * 30 + ["b"] * 50 + [""] * 10
    chance = np.array([0.6] * 30 + [0.7] * 50 + [0.0] * 10)
    ours, theirs = (rng.random((3, 90)) < chance + gain for gain in (0.2, 0.0))
    found = bootstrap_worst_group(ours, theirs, groups)

    def worst(right: np.ndarray, chosen: list[np.ndarray]) -> float:
        return float(np.mean([min(row[images].mean() for images in chosen) for row in right]))

    members = [np.arange(30), np.arange(30, 80)]
    assert found.mean == pytest.approx(worst(ours, members) - worst(theirs, members))
    assert found.n == 80
    resampled = []
    for _ in range(2000):
        chosen = [rng.choice(images, len(images)) for images in members]
        resampled.append(worst(ours, chosen) - worst(theirs, chosen))
    assert (found.low, found.high) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.02)


def test_one_group_is_the_bootstrap_of_its_images() -> None:
    rng = np.random.default_rng(6)
    ours, theirs = rng.random((2, 100)) < 0.7, rng.random((2, 100)) < 0.5
    one = bootstrap_worst_group(ours, theirs, ["all"] * 100)
    other = bootstrap_images(ours.astype(float) - theirs)
    assert one.mean == pytest.approx(other.mean)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)


def test_there_is_no_worst_group_without_groups() -> None:
    found = bootstrap_worst_group([[1, 0]], [[0, 0]], ["", ""])
    assert math.isnan(found.mean)
    assert found.n == 0
