"""Agreement of annotators against scikit-learn, and what `lookright check` says of it."""

from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask
from sklearn.metrics import cohen_kappa_score, jaccard_score

from lookright.config import DataConfig
from lookright.data import check, format_report
from lookright.data.agreement import MOST_LEAST, Overlap, agree, agree_pairwise, overlap
from lookright.data.check_report import CheckReport

PAIR = ("anna", "ben")


def random_marks(images: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two people's marks of images of different sizes, more or less alike."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        one = random.random(tuple(random.integers(3, 20, 2))) < random.uniform(0.2, 0.8)
        made.append((one, one ^ (random.random(one.shape) < random.uniform(0, 0.6))))
    return made


def test_iou_and_kappa_are_those_of_scikit_learn() -> None:
    marks = random_marks(12)
    overlaps = {f"{number}": overlap(one, other) for number, (one, other) in enumerate(marks)}
    found = agree(PAIR, overlaps)
    ious = [jaccard_score(one.ravel(), other.ravel()) for one, other in marks]
    assert found.images == 12
    assert found.iou == pytest.approx(np.mean(ious))
    every = [np.concatenate([pair[side].ravel() for pair in marks]) for side in (0, 1)]
    assert found.kappa == pytest.approx(cohen_kappa_score(*every))
    assert [image for image, _ in found.least] == [str(at) for at in np.argsort(ious)[:MOST_LEAST]]
    assert [iou for _, iou in found.least] == pytest.approx(sorted(ious)[:MOST_LEAST])


def test_where_one_marked_nothing_there_is_nothing_to_compare() -> None:
    marked, nothing = np.ones((2, 3), dtype=bool), np.zeros((2, 3), dtype=bool)
    assert overlap(marked, nothing) is None
    assert overlap(nothing, marked) is None
    assert agree(PAIR, {}) is None


def test_kappa_of_full_marks_is_not_known() -> None:
    full = np.ones((2, 3), dtype=bool)
    found = agree(PAIR, {"a": overlap(full, full)})
    assert (found.iou, found.kappa) == (1.0, None)


def test_pairs_who_agree_least_come_first() -> None:
    overlaps = {
        ("a", "b"): {"x": Overlap(4, 4, 4, 9)},
        ("a", "c"): {"x": Overlap(0, 4, 4, 9)},
        ("b", "c"): {},
    }
    assert [pair.annotators for pair in agree_pairwise(overlaps)] == [("a", "c"), ("a", "b")]


def half(*columns: int) -> np.ndarray:
    mask = np.zeros((8, 12), dtype=bool)
    mask[:, slice(*columns)] = True
    return mask


def checked(root: Path, **options: object) -> CheckReport:
    return check(DataConfig(data=root, **options), progress=False)


@pytest.fixture
def of_three(pets: Path) -> Path:
    """Anna and ben marked cats 0 and 1; carla marked cat 0 as anna did."""
    for folder in ("masks", "negatives"):
        if (pets / folder).is_dir():
            (pets / folder).rename(pets.parent / folder)
    people = pets / "annotators"
    for name, number, columns in (
        ("anna", 0, (0, 6)),
        ("ben", 0, (3, 9)),
        ("anna", 1, (0, 6)),
        ("ben", 1, (0, 3)),
        ("carla", 0, (0, 6)),
    ):
        save_mask(people / name / "masks" / "cat" / f"{number}.png", half(*columns))
    save_mask(people / "carla" / "negatives" / "cat" / "1.png", half(0, 6))
    return pets


def test_check_compares_annotators(of_three: Path) -> None:
    found = checked(of_three).agreement
    assert [pair.annotators for pair in found] == [("ben", "carla"), ("anna", "ben"), ("anna", "carla")]
    both = found[1]
    assert (both.images, both.iou) == (2, pytest.approx((1 / 3 + 1 / 2) / 2))
    assert both.least == (
        ("images/cat/0.png", pytest.approx(1 / 3)),
        ("images/cat/1.png", pytest.approx(1 / 2)),
    )
    assert [(pair.images, pair.iou) for pair in found[::2]] == [(1, pytest.approx(1 / 3)), (1, 1.0)]
    assert [pair.kappa for pair in found[::2]] == [pytest.approx(0), 1.0]


def test_the_report_says_it(of_three: Path) -> None:
    text = format_report(checked(of_three))
    lines = [line.split() for line in text.splitlines()]
    assert ["annotator", "and", "images", "IoU", "kappa"] in lines
    assert ["anna", "ben", "2", "0.42", "0.25"] in lines
    assert "least agreement of anna and ben: images/cat/0.png (0.33), images/cat/1.png (0.50)" in text


def test_without_annotators_nothing_is_said(pets: Path) -> None:
    assert checked(pets).agreement == ()
    assert "agreement" not in format_report(checked(pets))
