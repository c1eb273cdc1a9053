"""Rows and summary, with answers written down by hand."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from lookright.metrics import FAITHFULNESS, FAITHFULNESS_LESS_IS_BETTER, Faithfulness
from lookright.metrics.faithfulness_rows import CHANGES

CAT, DOG = [0.75, 0.25], [0.25, 0.75]


def rows(*, groups: tuple[str | None, ...] = ("land", "land", "water")) -> Faithfulness:
    """A cat seen as a cat, a dog seen as a cat, a dog seen as a dog that nobody lends a background."""
    return Faithfulness.of(
        ids=["a", "b", "c"],
        files=["a.jpg", "b.jpg", "c.jpg"],
        groups=groups,
        labels=torch.tensor([0, 1, 1]),
        classes=["cat", "dog"],
        before=torch.tensor([CAT, CAT, DOG]),
        after={
            "background_blur": torch.tensor([CAT, CAT, DOG]),
            "background_mean": torch.tensor([CAT, DOG, DOG]),
            "background_swap": torch.tensor([DOG, DOG, CAT]),
            "object_removed": torch.tensor([DOG, DOG, CAT]),
        },
        lender=["b", "a", None],
        share=torch.tensor([0.0, 0.5, 1.0]),
        deletion=torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        insertion=torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.5, 1.0], [0.5, 0.5, 0.5]]),
    )


EXPECTED = {
    "deletion_auc": (0.5 + 0.25 + 0.5) / 3,
    "insertion_auc": (0.75 + 0.5 + 0.5) / 3,
    "unchanged_accuracy": 2 / 3,
    "background_blur_accuracy": 2 / 3,
    "background_blur_change": 0,
    "background_blur_flips": 0,
    "background_mean_accuracy": 1,
    "background_mean_change": 0.5 / 3,
    "background_mean_flips": 1 / 3,
    "background_swap_accuracy": 1 / 2,  # of the two that got another background
    "background_swap_change": 1 / 2,
    "background_swap_flips": 1,
    "object_removed_accuracy": 1 / 3,
    "object_removed_change": 1 / 2,
    "object_removed_flips": 1,
}


def test_figures_are_means_over_the_images_that_define_them() -> None:
    found = rows().summary()
    assert tuple(EXPECTED) == FAITHFULNESS
    for name, value in EXPECTED.items():
        count = 2 if name.startswith("background_swap") else 3
        assert found[name] == {"value": pytest.approx(value), "n": count}
    assert found["faithfulness"]["deletion"] == pytest.approx([2.5 / 3, 1 / 3, 0.5 / 3])
    assert found["faithfulness"]["share"] == [0, 0.5, 1]
    assert found["faithfulness"]["images"] == 3
    json.dumps(found, allow_nan=False)


def test_groups() -> None:
    found = rows().summary()
    assert found["worst_group_background_swap_accuracy"] == {"value": 0.5, "n": 2, "group": "land"}
    by_group = found["faithfulness"]["by_group"]["background_swap_accuracy"]
    assert by_group == {"land": {"value": 0.5, "n": 2}, "water": {"value": None, "n": 0}}
    without = rows(groups=(None, None, "")).summary()
    assert "worst_group_background_swap_accuracy" not in without
    assert without["faithfulness"]["by_group"] == {}


def test_plain_numbers() -> None:
    found = rows().numbers()
    assert found == pytest.approx(
        EXPECTED | {"worst_group_background_swap_accuracy": 0.5, "faithfulness_images": 3}
    )
    assert all(type(value) is float for value in found.values())


def test_an_image_that_is_alone_defines_no_swap() -> None:
    one = torch.tensor([CAT])
    alone = Faithfulness.of(
        ids=["a"],
        files=["a.jpg"],
        groups=["land"],
        labels=torch.tensor([0]),
        classes=["cat", "dog"],
        before=one,
        after=dict.fromkeys(CHANGES, one),
        lender=[None],
        share=torch.tensor([0.0, 1.0]),
        deletion=one,
        insertion=one,
    )
    assert alone.summary()["background_swap_accuracy"] == {"value": None, "n": 0}
    assert "worst_group_background_swap_accuracy" not in alone.summary()
    assert math.isnan(alone.numbers()["background_swap_accuracy"])


def test_a_row_for_each_image(tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "faithfulness.csv")
    with (tmp_path / "faithfulness.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["id"] for row in table] == ["a", "b", "c"]
    for name, value in EXPECTED.items():
        values = [float(row[name]) for row in table if row[name]]
        assert sum(values) / len(values) == pytest.approx(value)
    assert [row["predicted"] for row in table] == ["cat", "cat", "dog"]
    assert [row["background_mean_predicted"] for row in table] == ["cat", "dog", "dog"]
    assert [row["background_swap_predicted"] for row in table] == ["dog", "dog", ""]
    assert [row["background_from"] for row in table] == ["b", "a", ""]
    assert [row["background_swap_flips"] for row in table] == ["1.0", "1.0", ""]


def test_of_which_figures_less_is_better() -> None:
    assert set(FAITHFULNESS_LESS_IS_BETTER) == {
        "deletion_auc",
        *(f"background_{how}_{told}" for how in ("blur", "mean", "swap") for told in ("change", "flips")),
        "object_removed_accuracy",
    }
