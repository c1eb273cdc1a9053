from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lookright.errors import DataError
from lookright.metrics import PerImage, localization, summarize

CLASSES = ["cat", "dog", "bird"]
FIGURES = ("iou", "precision", "recall", "f1", "epg", "pointing_game")


def evaluated(images: int = 24, groups: bool = True) -> tuple[PerImage, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    annotation = torch.randint(-1, 2, (images, 1, 12, 12), generator=generator).float()
    annotation[::5].clamp_(min=0)
    annotated = torch.arange(images) % 4 != 3
    explanation = torch.randn(images, 1, 3, 3, generator=generator)
    probabilities = torch.randn(images, 3, generator=generator).softmax(dim=1)
    rows = PerImage.of(
        ids=[f"id{i}" for i in range(images)],
        files=[f'images/a "quoted", name/ü{i}.jpg' for i in range(images)],
        labels=torch.arange(images) % 3,
        probabilities=probabilities,
        classes=CLASSES,
        annotated=annotated,
        groups=[("land", "water", "")[i % 3] if groups else None for i in range(images)],
        localization=localization(explanation, annotation, annotated),
        reasonable_iou=0.3,
    )
    return rows, probabilities


def same(first: PerImage, second: PerImage) -> bool:
    return repr(first) == repr(second)  # NaN is not equal to itself


def test_csv_round_trip_is_exact(tmp_path: Path) -> None:
    rows, _ = evaluated()
    rows.to_csv(tmp_path / "per_image.csv")
    assert same(PerImage.from_csv(tmp_path / "per_image.csv"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["per_image.csv"]


def test_file_names_that_are_not_utf_8_are_read_back(tmp_path: Path) -> None:
    rows, _ = evaluated()
    name = os.fsdecode(b"images/\xff\xe9.jpg")
    rows = replace(rows, id=(name, *rows.id[1:]), file=(name, *rows.file[1:]))
    rows.to_csv(tmp_path / "per_image.csv")
    assert same(PerImage.from_csv(tmp_path / "per_image.csv"), rows)


def test_csv_as_others_read_it(tmp_path: Path) -> None:
    rows, _ = evaluated()
    rows.to_csv(tmp_path / "per_image.csv")
    with (tmp_path / "per_image.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == [
        "id", "file", "label", "predicted", "probability", "correct", "annotated", "group",
        "iou", "precision", "recall", "f1", "epg", "pointing_game", "reasonable",
    ]  # fmt: skip
    assert table[3]["annotated"] == "false"
    assert table[3]["iou"] == table[3]["reasonable"] == ""
    assert table[2]["group"] == ""
    assert table[0]["correct"] in ("true", "false")
    assert "nan" not in (tmp_path / "per_image.csv").read_text(encoding="utf-8").lower()


def test_no_images(tmp_path: Path) -> None:
    rows, _ = evaluated(images=0)
    rows.to_csv(tmp_path / "per_image.csv")
    assert len(PerImage.from_csv(tmp_path / "per_image.csv")) == 0
    summary = summarize(rows, torch.zeros(0, 3), CLASSES)
    assert summary["accuracy"] == summary["iou"] == {"value": None, "n": 0}


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    rows, _ = evaluated()
    path = tmp_path / "per_image.csv"
    rows.to_csv(path)
    before = path.read_bytes()
    broken = replace(rows, file=("\ud800", *rows.file[1:]))  # no UTF-8 for a lone surrogate
    with pytest.raises(UnicodeEncodeError):
        broken.to_csv(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("probability", "chance"), r"lacks the column\(s\) probability"),
        (lambda text: text.replace("true", "perhaps", 1), "line 2: column .* holds 'perhaps'"),
        (lambda text: text[: text.rindex(",") - 3], "line 25: too many or too few columns"),
        (lambda text: text.replace("\r\n", ",1,2\r\n", 2).replace(",1,2", "", 1), "line 2: too many"),
        (lambda text: "", r"lacks the column\(s\) id"),
    ],
)
def test_damaged_csv_names_the_place(tmp_path: Path, damage, message: str) -> None:
    rows, _ = evaluated()
    path = tmp_path / "per_image.csv"
    rows.to_csv(path)
    path.write_bytes(damage(path.read_bytes().decode()).encode())
    with pytest.raises(DataError, match=message):
        PerImage.from_csv(path)


def test_missing_or_binary_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        PerImage.from_csv(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"lacks the column\(s\) id|cannot be read"):
        PerImage.from_csv(tmp_path / "binary.csv")


def test_summary_equals_its_definition() -> None:
    rows, probabilities = evaluated()
    summary = summarize(rows, probabilities, CLASSES)
    correct = np.array(rows.correct)
    assert summary["accuracy"] == {"value": pytest.approx(correct.mean()), "n": 24}
    for name in FIGURES:
        column = np.array(getattr(rows, name))
        assert summary[name]["value"] == pytest.approx(np.nanmean(column))
        assert summary[name]["n"] == np.isfinite(column).sum()
    assert 0 < summary["precision"]["n"] < summary["iou"]["n"] < 24
    for index, name in enumerate(CLASSES):
        assert summary["per_class_accuracy"][name] == {
            "value": pytest.approx(correct[index::3].mean()),
            "n": 8,
        }
    land, water = correct[0::3].mean(), correct[1::3].mean()
    assert summary["group_accuracy"] == {
        "land": {"value": pytest.approx(land), "n": 8},
        "water": {"value": pytest.approx(water), "n": 8},
    }
    assert summary["worst_group_accuracy"]["value"] == pytest.approx(min(land, water))
    assert summary["worst_group_accuracy"]["group"] in ("land", "water")
    ious = np.array(rows.iou)
    looked = np.isfinite(ious) & (ious >= 0.3)
    matrix = summary["reasonability_matrix"]
    assert matrix["reasonable-accurate"]["n"] == (looked & correct).sum()
    assert sum(cell["n"] for cell in matrix.values()) == summary["iou"]["n"]


def test_summary_is_json_and_has_the_promised_keys() -> None:
    rows, probabilities = evaluated()
    summary = json.loads(json.dumps(summarize(rows, probabilities, CLASSES), allow_nan=False))
    assert list(summary) == [
        "accuracy", "balanced_accuracy", "auroc", *FIGURES,
        "per_class_accuracy", "group_accuracy", "worst_group_accuracy", "reasonability_matrix",
    ]  # fmt: skip


def test_without_groups_and_annotations() -> None:
    rows, probabilities = evaluated(groups=False)
    nan = (math.nan,) * len(rows)
    rows = replace(rows, reasonable=(None,) * len(rows), **dict.fromkeys(FIGURES, nan))
    summary = summarize(rows, probabilities, CLASSES)
    assert "group_accuracy" not in summary
    assert "worst_group_accuracy" not in summary
    assert all(summary[name] == {"value": None, "n": 0} for name in FIGURES)
    assert all(cell == {"value": None, "n": 0} for cell in summary["reasonability_matrix"].values())


def test_rows_and_probabilities_must_belong_together() -> None:
    rows, probabilities = evaluated()
    with pytest.raises(ValueError, match="not in the order of per_image"):
        summarize(rows, probabilities.flip(0), CLASSES)
    with pytest.raises(ValueError, match="one row per image, got 3 for 24"):
        summarize(rows, probabilities[:3], CLASSES)
    with pytest.raises(ValueError, match=r"lack the label\(s\) \['bird'\]"):
        summarize(rows, probabilities, ["cat", "dog", "fish"])
    with pytest.raises(ValueError, match="columns: one value per image"):
        replace(rows, file=rows.file[:2])
