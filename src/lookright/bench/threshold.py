"""The adaptive threshold: seconds by number of cells, and against a loop over candidates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookright.bench.timing import Measurements, repeats, synchronize, take_turns, timed
from lookright.losses import adaptive_threshold
from lookright.losses.threshold import MARGIN


def loop_threshold(values: NDArray[np.float32], marks: NDArray[np.float32]) -> float:
    """Solve for the threshold in O(n^2): for each candidate, count over all cells.

    The definition of `lookright.losses.adaptive_threshold` taken literally, which is how the published code
    goes about it. The inner loop is NumPy's: in plain Python it would be slower still.

    Args:
        values: (n,) explanation cells
        marks: (n,) annotation of the same cells, its sign counts

    Returns:
        alpha; the smallest of equals, 0 without any mark

    Example:
        >>> values, marks = np.float32([0.1, 0.4, 0.9]), np.float32([-1, 1, 1])
        >>> round(loop_threshold(values, marks), 4)
        0.1001
    """
    positive, negative = values[marks > 0], values[marks < 0]
    best, alpha = -1, 0.0
    for candidate in np.sort(np.concatenate([positive, negative + np.float32(MARGIN)])):
        below = int(np.count_nonzero(negative < candidate))
        above = int(np.count_nonzero(positive >= candidate))
        # The two means over their common denominator: integers, so that ties are ties.
        score = below * max(1, len(positive)) + above * max(1, len(negative))
        if score > best:
            best, alpha = score, float(candidate)
    return alpha


def make_cells(n: int) -> tuple[Tensor, Tensor]:
    """Make a problem of n cells: two fifths positive, two fifths negative, the explanation half right.

    Returns:
        values (n,) in [0, 1) and marks (n,)

    Example:
        >>> _, marks = make_cells(100)
        >>> [int((marks == sign).sum()) for sign in (-1, 0, 1)]
        [40, 20, 40]
    """
    generator = torch.Generator().manual_seed(n)
    marks = torch.zeros(n)
    order = torch.randperm(n, generator=generator)
    fifth = n // 5
    marks[order[: 2 * fifth]], marks[order[2 * fifth : 4 * fifth]] = 1.0, -1.0
    values = 0.5 * torch.rand(n, generator=generator) + 0.25 * (1 + marks) * torch.rand(
        n, generator=generator
    )
    return values, marks


def measure_threshold(n: int, rounds: int, device: torch.device, *, with_loop: bool) -> Measurements:
    """Time the solver, and the loop where it is asked for.

    Args:
        n: cells
        rounds: measurements of each
        device: where the solver runs; the loop is NumPy's
        with_loop: time the loop as well

    Returns:
        "ours" and, if asked for, "loop" -> seconds per solution
    """
    values, marks = make_cells(n)
    rows = values[None].to(device), marks[None].to(device)

    def ours() -> None:
        adaptive_threshold(*rows)
        synchronize(device)

    # `repeats` has called each often enough to be warm.
    variants = {"ours": timed(ours, repeat=repeats(ours))}
    if with_loop:
        arrays = values.numpy(), marks.numpy()

        def loop() -> None:
            loop_threshold(*arrays)

        variants["loop"] = timed(loop, repeat=repeats(loop))
    return take_turns(variants, rounds, f"threshold, {n:,} cells", warm_up=False)
