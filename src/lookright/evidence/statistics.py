"""What a few seeds can tell: intervals, paired tests, and their correction for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_UP_TO = 20
"""pairs up to which all 2^n signs are gone through"""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    n: int
    """values that it rests on"""

    @property
    def half(self) -> float:
        """Half of the width."""
        return (self.high - self.low) / 2


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's interval, mean +- t_{n-1} s / sqrt(n).

    Args:
        values: one per seed; what is not finite is left out
        confidence: share of such intervals that hold the true mean

    Returns:
        NaN for limits that one value cannot give, and for all where there is none

    Example:
        >>> found = t_interval([0.70, 0.72, 0.74])
        >>> round(found.mean, 3), round(found.half, 3), found.n
        (0.72, 0.05, 3)
    """
    from scipy.stats import t  # takes a while to import

    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    n = len(known)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * float(known.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def permutation_test(differences: ArrayLike, *, draws: int = 100_000, seed: int = 0) -> float:
    """Two-sided p of a paired permutation test: how often is a mean as far from 0 if signs are random?

    Under the null hypothesis a difference and its negative are as likely. Up to `EXACT_UP_TO` differences all
    signs are gone through, so that p is at least 2 / 2^n; of more, signs are drawn, and p is
    (1 + as far) / (1 + draws) (Phipson and Smyth, 2010).

    Args:
        differences: one per pair, which here is a seed
        draws: random signs, where they are drawn
        seed: of the drawing

    Returns:
        p in (0, 1]; NaN where there is no pair

    Example:
        >>> permutation_test([0.01, 0.02, 0.03])
        0.25
        >>> permutation_test([0.01, -0.02, 0.03, 0.05])
        0.375
    """
    known = np.asarray(differences, dtype=np.float64)
    if len(known) == 0 or not np.isfinite(known).all():
        return math.nan
    observed = abs(float(known.sum()))
    # Sums of the same numbers in another order differ by rounding; these are as far, not nearer.
    bar = observed - 1e-9 * float(np.abs(known).sum())
    if len(known) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for difference in known:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((np.abs(sums) >= bar).mean())
    rng = np.random.default_rng(seed)
    as_far = 0
    for start in range(0, draws, 10_000):
        signs = rng.integers(0, 2, (min(10_000, draws - start), len(known))) * 2 - 1
        as_far += int((np.abs(signs @ known) >= bar).sum())
    return (1 + as_far) / (1 + draws)


def smallest_p(n: int) -> float:
    """The smallest p that the exact permutation test of n pairs can give.

    Example:
        >>> smallest_p(5), smallest_p(6)
        (0.0625, 0.03125)
    """
    return math.nan if n == 0 else min(1.0, 2.0 ** (1 - n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct for many comparisons: the step-down procedure of Holm (1979).

    The i-th smallest of m values is multiplied by m - i + 1, and is at least the one before it. Rejecting
    what is then below 0.05 makes one false rejection or more with a probability of 0.05 at most.

    Args:
        p_values: of all comparisons; NaN is no comparison

    Returns:
        corrected values, in the same order

    Example:
        >>> holm([0.01, 0.04, 0.03, 0.005])
        [0.03, 0.06, 0.06, 0.02]
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def bootstrap_images(
    differences: ArrayLike, *, draws: int = 10_000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Interval of a paired difference over test images, by the percentile bootstrap (Efron, 1979).

    Seeds are tested on the same images, so images are drawn anew, and each keeps all of its seeds: the
    difference of an image is its mean over the seeds.

    Args:
        differences: (seeds, images); an image with NaN in some seed is left out
        draws: resamples
        seed: of the drawing
        confidence: share of the resamples' means between the limits

    Example:
        >>> found = bootstrap_images([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]])
        >>> found.mean, found.n, 0 <= found.low < found.mean < found.high <= 1
        (0.625, 4, True)
    """
    table = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    of_images: NDArray[np.float64] = table[:, np.isfinite(table).all(axis=0)].mean(axis=0)
    n = len(of_images)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // n)
    means = np.concatenate(
        [
            of_images[rng.integers(0, n, (min(at_once, draws - start), n))].mean(axis=1)
            for start in range(0, draws, at_once)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(of_images.mean()), float(low), float(high), n)


def bootstrap_worst_group(
    ours: ArrayLike,
    theirs: ArrayLike,
    groups: Sequence[str],
    *,
    draws: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The same for the difference of two worst groups: images are drawn anew within each group.

    Which group is the worst is found in every resample, for each of the two and each seed on its own.

    Args:
        ours: (seeds, images), 1 where an image is predicted right
        theirs: the same of what it is compared with
        groups: of the images; those without one, "", are left out
        draws, seed, confidence: as `bootstrap_images`

    Example:
        >>> right = [[1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 0]]
        >>> wrong = [[1, 1, 1, 0, 0, 1], [1, 1, 1, 0, 0, 0]]
        >>> found = bootstrap_worst_group(right, wrong, ["land"] * 3 + ["water"] * 3)
        >>> round(found.mean, 3), found.n, found.low <= found.mean <= found.high
        (0.5, 6, True)
    """
    pair = np.stack([np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (ours, theirs)])
    names = np.asarray(groups)
    members = [np.flatnonzero(names == name) for name in sorted(set(groups) - {""})]
    if not members:
        return Interval(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(seed)
    shown, drawn = [], []
    for images in members:
        of_group = pair[:, :, images]
        times = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), size=draws)
        shown.append(of_group.mean(axis=2))
        drawn.append(np.einsum("di,psi->dps", times, of_group) / len(images))
    worst = np.min(drawn, axis=0)
    (mean_ours, mean_theirs) = np.min(shown, axis=0).mean(axis=1)
    low, high = np.quantile(
        (worst[:, 0] - worst[:, 1]).mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return Interval(float(mean_ours - mean_theirs), float(low), float(high), sum(map(len, members)))
