"""Several annotators against counts by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo

from lookright.config import DataConfig
from lookright.data import Annotators, Combination, Matrix, SignedMask, check, format_report, read_annotations
from lookright.data.annotations import Marks
from lookright.data.readers import scan
from lookright.errors import DataError

SIZE = (6, 1)


def signed(*values: float) -> Marks:
    row = np.array([values], dtype=np.float32)
    return Matrix(row.clip(min=0), (-row).clip(min=0))


@pytest.mark.parametrize(
    ("combination", "expected"),
    [
        (Combination.MEAN, [1, 0.4, 0.4, 0, -0.6, 0.2]),
        (Combination.MAJORITY, [1, 1, 0, 0, -1, 0]),
        (Combination.AGREEMENT, [1, 0.6, 0, 0, -0.8, 0]),
    ],
)
def test_five_annotators(combination: Combination, expected: list[float]) -> None:
    people = (
        signed(1, 1, 1, 1, -1, 0.5),
        signed(1, 1, 1, -1, -1, 0.5),
        signed(1, 1, 0, 0, -1, 0),
        signed(1, 0, 0, 0, -1, 0),
        signed(1, -1, 0, 0, 1, 0),
    )
    marks = Annotators(people, combination)
    np.testing.assert_allclose(marks.render(), [expected], atol=1e-6)
    assert marks.render().dtype == np.float32
    positive, negative = marks.sides()
    assert not (positive * negative).any()


@pytest.mark.parametrize(
    ("combination", "expected"),
    [
        (Combination.MEAN, [[1, 0.5, 0]]),
        (Combination.MAJORITY, [[1, 0, 0]]),
        (Combination.AGREEMENT, [[1, 0, 0]]),
    ],
)
def test_half_of_the_annotators_are_no_majority(combination: Combination, expected: list) -> None:
    assert Annotators((signed(1, 1, 1), signed(1, 0, -1)), combination).render().tolist() == expected


def test_one_annotator() -> None:
    assert Annotators((signed(0.5, -1, 0),), Combination.MEAN).render().tolist() == [[0.5, -1, 0]]
    assert Annotators((signed(0.5, -1, 0),), Combination.MAJORITY).render().tolist() == [[1, -1, 0]]


def test_annotators_of_two_sizes(tmp_path: Path) -> None:
    small = save_mask(tmp_path / "small.png", np.zeros((2, 3), dtype=np.uint8))
    large = save_mask(tmp_path / "large.png", np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(DataError, match=r"large\.png: drawn at 6 x 4, that of .*small\.png at 3 x 2; bring"):
        Annotators((SignedMask(small), SignedMask(large))).render()


# ---- on disk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for number in range(3):
            save_photo(tmp_path / "images" / name / f"{name}{number}.png", SIZE)
    return tmp_path


def mark(root: Path, place: str, *values: int) -> None:
    save_mask(root / place, np.array([values], dtype=np.uint8) * 255)


def three_people(root: Path) -> None:
    mark(root, "annotators/anna/masks/cat/cat0.png", 1, 1, 1, 0, 0, 0)
    mark(root, "annotators/anna/negatives/cat/cat0.png", 0, 0, 0, 0, 0, 1)
    mark(root, "annotators/ben/masks/cat/cat0.png", 1, 1, 0, 0, 0, 0)
    mark(root, "annotators/ben/masks/dog/dog1.png", 0, 0, 0, 1, 0, 0)
    mark(root, "annotators/.hidden/masks/cat/cat0.png", 1, 1, 1, 1, 1, 1)
    np.save(root / "annotators" / "eve.npy", np.ones((2, 2)))  # a stray file is nobody
    (root / "annotators" / "eve" / "signed" / "cat").mkdir(parents=True)
    np.save(root / "annotators" / "eve" / "signed" / "cat" / "cat0.npy", np.array([[1.0, 0, 0, 0, 0, -0.5]]))


@pytest.mark.parametrize(
    ("combine", "cat"),
    [
        ("mean", [1, 2 / 3, 1 / 3, 0, 0, -0.5]),
        ("majority", [1, 1, 0, 0, 0, -1]),
        ("agreement", [1, 2 / 3, 0, 0, 0, -2 / 3]),
    ],
)
def test_folders_of_annotators(root: Path, combine: str, cat: list[float]) -> None:
    three_people(root)
    found = read_annotations(DataConfig(data=root, combine=combine))
    marks = {item.path.stem: item.marks for item in found.items if item.marks}
    assert set(marks) == {"cat0", "dog1"}
    np.testing.assert_allclose(marks["cat0"].render(), [cat], atol=1e-6)
    assert marks["dog1"].render().tolist() == [[0, 0, 0, 1, 0, 0]]  # of those who annotated this image
    assert isinstance(marks["cat0"], Annotators)
    assert marks["cat0"].names == ("anna", "ben", "eve")
    assert len(marks["cat0"].files) == 4


def test_annotators_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("drawn")
    three_people(elsewhere)
    for place in (elsewhere, elsewhere / "annotators"):
        found = read_annotations(DataConfig(data=root, annotations=place))
        assert sum(item.annotated for item in found.items) == 2


def test_check_counts_annotators(root: Path) -> None:
    three_people(root)
    report = check(DataConfig(data=root), progress=False)
    assert report.annotators == {"anna": 1, "ben": 2, "eve": 1}
    text = format_report(report)
    assert (
        "annotators, and the images of each: anna (1), ben (2), eve (1); 1 of 2 annotated images by" in text
    )
    assert not report.problems
    mark(root, "annotators/eve/masks/dog/dog2.png", 0, 0, 0, 0, 0, 0)
    mark(root, "annotators/anna/masks/dog/dog2.png", 1, 0, 0, 0, 0, 0)
    save_mask(root / "annotators" / "ben" / "masks" / "cat" / "cat0.png", np.ones((9, 9), dtype=np.uint8))
    said = "\n".join(map(str, check(DataConfig(data=root), progress=False).problems))
    assert "ben/masks/cat/cat0.png: drawn at 9 x 9" in said
    assert "dog2.png: nothing is left where 2 annotators are combined by 'majority'" in said


def test_annotators_problems(root: Path) -> None:
    three_people(root)
    mark(root, "masks/cat/cat1.png", 1, 1, 1, 1, 1, 1)
    with pytest.raises(DataError, match=r"masks: marks beside annotators/: whose are they\?; move it to"):
        read_annotations(DataConfig(data=root))
    (root / "annotators" / "nobody").mkdir()
    said = "\n".join(map(str, scan(DataConfig(data=root)).problems))
    assert "nobody: an annotator without any mark" in said
    (root / "empty" / "annotators").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no annotator"):
        read_annotations(DataConfig(data=root, annotations=root / "empty"))


def labelme(*labels: str) -> str:
    shapes = [
        {"label": label, "shape_type": "rectangle", "points": [[2 * i, 0], [2 * i + 2, 1]]}
        for i, label in enumerate(labels)
    ]
    return json.dumps({"imagePath": "cat0.png", "imageHeight": 1, "imageWidth": 6, "shapes": shapes})


def test_labelme_of_annotators(root: Path) -> None:
    (root / "annotators" / "anna").mkdir(parents=True)
    (root / "annotators" / "anna" / "cat0.json").write_text(labelme("cat", "sky"))
    (root / "annotators" / "ben.json").write_text(labelme("cat"))
    config = DataConfig(data=root, format="labelme", combine="mean", negative_categories=["sky"])
    found = read_annotations(config)
    (marks,) = (item.marks for item in found.items if item.marks)
    assert marks.render().tolist() == [[1, 1, -0.5, -0.5, 0, 0]]
    assert any("there is no category 'sky'" in problem.what for problem in found.problems)
    with pytest.raises(DataError, match="there is no category 'sea'"):
        read_annotations(DataConfig(data=root, format="labelme", negative_categories=["sea"]))
    (root / "annotators" / "ben").mkdir()
    with pytest.raises(DataError, match="is of the annotator 'ben' too"):
        read_annotations(config)


def test_annotators_of_another_format_are_passed_over(root: Path) -> None:
    mark(root, "annotators/anna/masks/cat/cat0.png", 0, 0, 0, 0, 1, 1)
    (root / "annotations").mkdir()
    (root / "annotations" / "cat0.json").write_text(labelme("cat"))
    (marks,) = (
        item.marks for item in read_annotations(DataConfig(data=root, format="labelme")).items if item.marks
    )
    assert marks.render().tolist() == [[1, 1, 0, 0, 0, 0]]
    with pytest.raises(DataError, match=r"no \.json file in .*anna"):
        read_annotations(DataConfig(data=root, format="labelme", annotations=root / "annotators"))
