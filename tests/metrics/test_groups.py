from __future__ import annotations

import numpy as np
import pytest

from lookright.metrics import Figure, group_accuracy, worst_group


def test_equals_a_loop_over_groups() -> None:
    rng = np.random.default_rng(0)
    correct, groups = rng.random(100) < 0.7, rng.choice(["land", "water", "sky"], 100)
    figures = group_accuracy(correct.tolist(), groups.tolist())
    assert list(figures) == ["land", "sky", "water"]
    for group, figure in figures.items():
        assert figure.value == pytest.approx(correct[groups == group].mean())
        assert figure.n == (groups == group).sum()
    name, figure = worst_group(figures)
    assert figure.value == min(f.value for f in figures.values())
    assert figures[name] == figure


def test_images_without_a_group_are_left_out() -> None:
    assert group_accuracy([True, False, False], ["a", None, ""]) == {"a": Figure(1.0, 1)}
    assert group_accuracy([True], [None]) == {}


def test_ties_go_to_the_larger_group_then_to_the_name() -> None:
    assert worst_group({"a": Figure(0.5, 2), "b": Figure(0.5, 8)})[0] == "b"
    assert worst_group({"b": Figure(0.5, 2), "a": Figure(0.5, 2)})[0] == "a"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="groups: one per image, got 1 for 2"):
        group_accuracy([True, False], ["a"])
    with pytest.raises(ValueError, match="no group has images"):
        worst_group({"a": Figure.undefined()})
