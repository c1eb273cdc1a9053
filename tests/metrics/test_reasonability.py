from __future__ import annotations

import math

import pytest
from sklearn.metrics import confusion_matrix

from lookright.metrics import Cell, ReasonabilityMatrix, is_reasonable


def test_counts_equal_sklearns_confusion_matrix() -> None:
    ious = [0.9, 0.5, 0.49, 0.1, 0.7, 0.0, 1.0]
    correct = [True, False, True, False, True, True, False]
    reasonable = [is_reasonable(iou) for iou in ious]
    matrix = ReasonabilityMatrix.of([str(i) for i in range(7)], correct, reasonable)
    (ui, ri), (ua, ra) = confusion_matrix(correct, [iou >= 0.5 for iou in ious])
    assert matrix.counts == {
        Cell.REASONABLE_ACCURATE: ra,
        Cell.UNREASONABLE_ACCURATE: ua,
        Cell.REASONABLE_INACCURATE: ri,
        Cell.UNREASONABLE_INACCURATE: ui,
    }
    assert matrix.ids[Cell.UNREASONABLE_ACCURATE] == ("2", "5")
    assert matrix.n == 7


def test_images_without_an_iou_are_left_out() -> None:
    matrix = ReasonabilityMatrix.of(["a", "b"], [True, True], [is_reasonable(math.nan), True])
    assert matrix.n == 1
    assert matrix.ids[Cell.REASONABLE_ACCURATE] == ("b",)


def test_json_shares_sum_to_one_and_an_empty_matrix_has_none() -> None:
    matrix = ReasonabilityMatrix.of(["a", "b", "c"], [True, True, False], [True, False, False])
    cells = matrix.as_json()
    assert list(cells) == [
        "reasonable-accurate",
        "unreasonable-accurate",
        "reasonable-inaccurate",
        "unreasonable-inaccurate",
    ]
    assert sum(cell["value"] or 0 for cell in cells.values()) == pytest.approx(1)
    assert [cell["n"] for cell in cells.values()] == [1, 1, 0, 1]
    assert cells["reasonable-inaccurate"]["value"] == 0
    empty = ReasonabilityMatrix.of([], [], []).as_json()
    assert all(cell == {"value": None, "n": 0} for cell in empty.values())


@pytest.mark.parametrize(
    ("iou", "threshold", "expected"), [(0.5, 0.5, True), (0.4, 0.3, True), (0.2, 0.3, False)]
)
def test_threshold(iou: float, threshold: float, expected: bool) -> None:
    assert is_reasonable(iou, threshold) is expected


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="threshold: above 0"):
        is_reasonable(0.5, 0)
    with pytest.raises(ValueError, match="ids, correct and reasonable"):
        ReasonabilityMatrix.of(["a"], [True, False], [True])
