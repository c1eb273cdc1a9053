"""Groups are those of the marked images, whichever images a model was tested on; counted by hand."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

ALIKE = {"stage": "final", "annotated": "2", "entry": "auto", "seed": "0", "error": ""}
RUNS = [
    ALIKE | {"run": "of-an-earlier-choice", "data": "decoy"},  # its images are not even there
    ALIKE | {"run": "marked-0", "data": "decoy"},
    ALIKE | {"run": "clean-0", "data": "photos"},
    ALIKE | {"run": "other", "data": "photos", "stage": "choose"},
]


def write(file: Path, rows: Sequence[dict[str, str]]) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def images(suffix: str, right: str, groups: str) -> list[dict[str, str]]:
    return [
        {"id": f"images/a/{number}.{suffix}", "correct": "true" if one == "1" else "false", "group": group}
        for number, (one, group) in enumerate(zip(right, groups, strict=True))
    ]


def test_the_worst_group_with_and_without_markers(
    tmp_path: Path, run: Callable[..., None], example: Callable[[str], ModuleType]
) -> None:
    write(tmp_path / "results.csv", RUNS)
    write(tmp_path / "images" / "marked-0.csv", images("png", "110010", "xxyyyy"))
    # In the same groups: x 1 of 2, y 3 of 4; the seventh image has no marked counterpart.
    write(tmp_path / "images" / "clean-0.csv", images("jpg", "0111100", "       "))
    found = example("without_shortcut").compare(tmp_path, "photos", "decoy")
    assert found["2", "auto"] == {"decoy": [0.25], "photos": [0.5]}
    run("without_shortcut", tmp_path, "photos", "decoy", "--table", tmp_path / "table.md")
    assert "| 2 | auto | 0.250 | 0.500 | 1 |" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_intervals_are_students(example: Callable[[str], ModuleType]) -> None:
    assert example("without_shortcut").told([0.5, 0.6, 0.7]) == "0.600 ± 0.248"  # 4.303 * 0.1 / sqrt(3)
    assert example("without_shortcut").told([]) == "–"


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b.png"])
def test_images_are_known_by_their_name_without_suffix(
    example: Callable[[str], ModuleType], name: str
) -> None:
    assert example("without_shortcut").key({"id": name}) == "a/b"
