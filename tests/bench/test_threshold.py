"""The loop is the definition, and the solver that it is compared with gives the same."""

import numpy as np
import pytest
import torch

from lookright.bench.threshold import loop_threshold, make_cells
from lookright.losses import adaptive_threshold


@pytest.mark.parametrize("n", [100, 1000])
def test_the_loop_and_the_solver_agree(n: int) -> None:
    values, marks = make_cells(n)
    assert (
        loop_threshold(values.numpy(), marks.numpy()) == adaptive_threshold(values[None], marks[None]).item()
    )


@pytest.mark.parametrize("signs", [(-1, 0, 1), (0, 1), (-1, 0), (0,)])
def test_they_agree_on_ties_and_absent_sides(signs: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = generator.integers(0, 5, 30).astype(np.float32) / 4
        marks = generator.choice(np.float32(signs), 30)
        ours = adaptive_threshold(torch.from_numpy(values)[None], torch.from_numpy(marks)[None]).item()
        assert loop_threshold(values, marks) == ours


def test_the_loop_by_hand() -> None:
    values, marks = np.float32([0.9, 0.2, 0.6, 0.3, 0.5]), np.float32([1, 1, -1, -1, 0])
    # a = 0.6001: below it both negatives, above it one of two positives: 1 + 0.5; a = 0.9 as well, but larger
    assert loop_threshold(values, marks) == pytest.approx(0.6001)


def test_cells_can_be_told_apart_but_not_perfectly() -> None:
    values, marks = make_cells(1000)
    assert values.min() >= 0
    assert values.max() < 1
    alpha = adaptive_threshold(values[None], marks[None])
    right = ((values >= alpha) == (marks > 0))[marks != 0].float().mean()
    assert 0.55 < right < 0.95
