"""Images of several labels, and images with a number: labels.csv, and annotations by class."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo

from lookright.config import DataConfig
from lookright.data import AnnotationSet, Annotators, check, format_report, read_annotations
from lookright.data.readers import scan
from lookright.errors import ConfigError, DataError
from lookright.types import Task

TOP, LEFT = np.zeros((2, 8, 12), dtype=bool)
TOP[:4], LEFT[:, :6] = True, True


def read(root: Path, **options: object) -> AnnotationSet:
    return read_annotations(DataConfig(data=root, **options))


def write(root: Path, *lines: str) -> None:
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def remarks(root: Path) -> str:
    return "\n".join(str(problem) for problem in scan(DataConfig(data=root)).problems)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Five images of cars and bikes; both are annotated on the first one."""
    for name in ("a", "b", "c", "d"):
        save_photo(tmp_path / "images" / f"{name}.jpg")
    save_photo(tmp_path / "images" / "more" / "e.jpg")
    write(
        tmp_path,
        "file,labels,split,group",
        "a.jpg,car; bike,train,day",
        "b.jpg,bike,train,night",
        "c.jpg,,train,day",
        "images/d.jpg,car;car,test,day",
        "more/e.jpg,bike;car,test,",
    )
    save_mask(tmp_path / "masks" / "car" / "a.png", TOP)
    save_mask(tmp_path / "negatives" / "car" / "a.png", LEFT)
    save_mask(tmp_path / "masks" / "bike" / "a.jpg.png", LEFT)
    save_mask(tmp_path / "masks" / "bike" / "more" / "e.png", LEFT)
    save_mask(tmp_path / "signed" / "car" / "d.png", np.where(TOP, 255, 128).astype(np.uint8))
    return tmp_path


def test_several_labels(street: Path) -> None:
    found = read(street)
    assert found.task is Task.MULTI_LABEL
    assert found.classes == ("bike", "car")
    assert [(item.id, item.labels, item.split, item.group) for item in found.items] == [
        ("images/a.jpg", (0, 1), "train", "day"),
        ("images/b.jpg", (0,), "train", "night"),
        ("images/c.jpg", (), "train", "day"),
        ("images/d.jpg", (1,), "test", "day"),
        ("images/more/e.jpg", (0, 1), "test", None),
    ]
    assert {item.label for item in found.items} == {-1}
    assert {item.marks for item in found.items} == {None}
    assert [item.annotated for item in found.items] == [True, False, False, True, True]
    assert found.problems == ()


def test_marks_by_class(street: Path) -> None:
    a, _, _, d, e = read(street).items
    assert sorted(a.marks_by_class) == [0, 1]
    np.testing.assert_array_equal(a.marks_by_class[0].render(), LEFT)
    np.testing.assert_array_equal(a.marks_by_class[1].render(), TOP.astype(int) - LEFT)
    np.testing.assert_array_equal(d.marks_by_class[1].render(), TOP)
    assert list(e.marks_by_class) == [0]
    hash(a)


def test_marks_elsewhere_and_of_several_annotators(
    street: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn = tmp_path_factory.mktemp("drawn")
    save_mask(drawn / "car" / "b.png", TOP)
    assert [list(item.marks_by_class) for item in read(street, annotations=drawn).items] == [
        [],
        [1],
        [],
        [],
        [],
    ]
    for name, mask in (("anna", TOP), ("ben", LEFT)):
        save_mask(drawn / "annotators" / name / "masks" / "car" / "a.png", mask)
    item = read(street, annotations=drawn, combine="mean").items[0]
    assert isinstance(item.marks_by_class[1], Annotators)
    np.testing.assert_array_equal(item.marks_by_class[1].render(), (TOP.astype(float) + LEFT) / 2)


def test_marks_of_no_class_and_of_an_absent_one(street: Path) -> None:
    save_mask(street / "masks" / "tram" / "a.png", TOP)
    save_mask(street / "masks" / "b.png", TOP)
    save_mask(street / "masks" / "car" / "b.png", TOP)
    said = remarks(street)
    assert "masks/tram: masks of no class of labels.csv: left out; put masks into masks/<class>/" in said
    assert "the classes are: bike, car" in said
    assert "masks/b.png: masks of no class" in said
    assert "car/b.png: images/b.jpg is marked as 'car', which labels.csv does not say it shows" in said
    assert list(read(street).items[1].marks_by_class) == [1]


def test_a_number_to_predict(tmp_path: Path) -> None:
    for number in range(5):
        save_photo(tmp_path / "images" / "shop" / f"{number}.png")
    write(tmp_path, "file;value", *(f"{number}.png;{number * 1.5 - 1}" for number in range(5)))
    save_mask(tmp_path / "masks" / "shop" / "3.png", TOP)
    found = read(tmp_path)
    assert found.task is Task.REGRESSION
    assert found.classes == ()
    assert [(item.label, item.labels, item.value) for item in found.items] == [
        (-1, (), value) for value in (-1, 0.5, 2, 3.5, 5)
    ]
    assert Counter(item.split for item in found.items) == {"train": 3, "val": 1, "test": 1}
    assert [item.annotated for item in found.items] == [False, False, False, True, False]
    np.testing.assert_array_equal(found.items[3].marks.render(), TOP)
    report = check(DataConfig(data=tmp_path), progress=False)
    assert report.values == (-1, 5)
    assert {(count.class_name, count.images) for count in report.counts} == {("(all)", 3), ("(all)", 1)}
    assert "5 readable images, a number to predict, from -1 to 5" in format_report(report)


def test_splits_are_made_within_the_rarest_label(tmp_path: Path) -> None:
    for number in range(30):
        save_photo(tmp_path / "images" / f"{number:02}.png")
    rare = {0, 5, 10, 15, 20}
    write(tmp_path, "file,labels", *(f"{i:02}.png,common{';rare' if i in rare else ''}" for i in range(30)))
    found = read(tmp_path)
    label = found.classes.index("rare")
    assert Counter(i.split for i in found.items if label in i.labels) == {"train": 3, "val": 1, "test": 1}
    assert Counter(i.split for i in found.items) == {"train": 18, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,labels", "a.jpg,car"], r"labels\.csv: has no column 'file'"),
        (["file,class", "a.jpg,car"], "has neither 'labels' nor 'value'; its columns are: file, class"),
        (["file,labels,value", "a.jpg,car,3"], "has both columns 'labels' and 'value'"),
        (["file,value", "a.jpg,3,5"], "line 2: more cells than columns"),
        (["file,value", "a.jpg,"], "line 2: no value"),
        (["file,value", "a.jpg,many"], "line 2: 'many' is no finite number; write it like 3.5"),
        (["file,value", "a.jpg,nan"], "line 2: 'nan' is no finite number"),
        (["file,value", "a.jpg,2", "b.jpg,2"], "every image has the value 2; there is nothing to learn"),
        (["file,labels", "a.jpg,", "b.jpg,"], "no image has a label"),
        (["file,labels", "gone.jpg,car"], "line 2: gone.jpg does not exist"),
        (
            ["file,labels", "a.jpg,car", "a.jpg,bike"],
            "line 3: a.jpg stands in line 2 already, with",
        ),
        (["file,value", "a.jpg,1", "a.jpg,2"], "line 3: a.jpg stands in line 2 already, with"),
        (["file,labels"], "has no rows"),
    ],
)
def test_broken_labels_csv(street: Path, lines: list[str], message: str) -> None:
    write(street, *lines)
    with pytest.raises(DataError, match=message):
        read(street)


def test_labels_csv_counts_alone(street: Path) -> None:
    (street / "split.csv").write_text("file,class\na.jpg,car\n")
    with pytest.raises(DataError, match=r"split\.csv: stands beside labels\.csv"):
        read(street)


def test_other_formats_are_refused(street: Path) -> None:
    with pytest.raises(ConfigError, match="format: got 'coco' for images of several labels"):
        read(street, format="coco")


def test_check_counts_each_class(street: Path) -> None:
    report = check(DataConfig(data=street), progress=False)
    rows = {(c.class_name, c.split): (c.images, c.annotated, c.positive, c.negative) for c in report.counts}
    assert rows == {
        ("bike", "train"): (2, 1, 1, 0),
        ("bike", "test"): (1, 1, 1, 0),
        ("car", "train"): (1, 1, 1, 1),
        ("car", "test"): (2, 1, 1, 0),
        ("(no label)", "train"): (1, 0, 0, 0),
        ("(no label)", "test"): (0, 0, 0, 0),
    }
    assert report.annotated == 3
    assert "5 readable images, 2 classes, several per image" in format_report(report)
    assert "positive and negative at once in 24 pixels" in "\n".join(map(str, report.problems))
    save_mask(street / "masks" / "bike" / "a.jpg.png", np.ones((3, 3), dtype=bool))
    (street / "images" / "c.jpg").write_bytes((street / "images" / "b.jpg").read_bytes())
    report = check(DataConfig(data=street), progress=False)
    assert ["a.jpg.png" in str(problem) or "3 x 3" in str(problem) for problem in report.fatal] == [True]
    assert any("of another label" in problem.what for problem in report.problems)


def test_graded_annotations_are_counted(street: Path) -> None:
    ramp = np.linspace(0, 255, 96).reshape(8, 12).astype(np.uint8)
    save_mask(street / "masks" / "bike" / "b.png", ramp)
    report = check(DataConfig(data=street), progress=False)
    assert report.graded == 1
    assert "graded annotations: 1 of 4; the others are black and white" in format_report(report)
