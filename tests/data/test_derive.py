"""Negative marks outside a margin around the positive ones."""

import numpy as np
import pytest
import torch

from lookright.data.derive import mark_outside
from lookright.errors import ConfigError


def test_equals_distances_by_hand() -> None:
    generator = np.random.default_rng(0)
    marks = (generator.random((1, 20, 30)) < 0.02).astype(np.float32)
    found = mark_outside(torch.from_numpy(marks), margin=0.1).numpy()
    rows, columns = np.nonzero(marks[0])
    for y in range(20):
        for x in range(30):
            far = np.maximum(np.abs(rows - y), np.abs(columns - x)).min() > 3
            assert found[0, y, x] == (marks[0, y, x] if not far else -1)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_what_has_no_positive_mark_stays(value: float) -> None:
    marks = torch.full((1, 4, 4), value)
    assert torch.equal(mark_outside(marks, 0.1), marks)


def test_a_person_who_marked_negatives_is_believed() -> None:
    marks = torch.tensor([[[1.0, 0.0, 0.0, -1.0]]])
    assert torch.equal(mark_outside(marks, 0.0), marks)


def test_graded_marks_stay_graded() -> None:
    assert mark_outside(torch.tensor([[[0.5, 0.0]]]), 0.0).tolist() == [[[0.5, -1.0]]]


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_a_margin_out_of_range(margin: float) -> None:
    with pytest.raises(ConfigError, match="negatives_outside: got"):
        mark_outside(torch.ones(1, 2, 2), margin)
