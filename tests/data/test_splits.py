import os
from collections import Counter
from pathlib import Path

import pytest
from data_files import save_photo
from sklearn.model_selection import train_test_split

from lookright.config import DataConfig
from lookright.data import AnnotationSet, make_splits, read_annotations
from lookright.data.readers import scan
from lookright.errors import DataError


def read(root: Path) -> AnnotationSet:
    return read_annotations(DataConfig(data=root))


def write_split(root: Path, *lines: str) -> None:
    (root / "split.csv").write_text("\n".join(lines) + "\n")


def problems(root: Path) -> list[str]:
    return [str(problem) for problem in scan(DataConfig(data=root)).problems]


def test_made_splits_are_stratified_as_sklearns_are() -> None:
    classes = {f"{i}": "cat" if i < 100 else "dog" for i in range(150)}
    made = make_splits(classes)
    mine = Counter((classes[id_], split) for id_, split in made.items())
    ids, labels = list(classes), list(classes.values())
    rest, test = train_test_split(ids, test_size=0.2, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=0.25, stratify=[classes[i] for i in rest], random_state=0)
    for split, part in (("train", train), ("val", val), ("test", test)):
        for name, count in Counter(classes[i] for i in part).items():
            assert mine[name, split] == count


def test_made_splits_depend_on_seed_and_not_on_order() -> None:
    classes = {f"{i}": "cat" for i in range(50)}
    assert make_splits(classes) == make_splits(dict(reversed(classes.items())))
    assert make_splits(classes) != make_splits(classes, seed=1)
    fewer = make_splits({f"{i}": "cat" for i in range(49)})
    assert sum(fewer[id_] != make_splits(classes)[id_] for id_ in fewer) <= 2


@pytest.mark.parametrize(
    ("images", "expected"),
    [(1, {"train": 1}), (2, {"train": 1, "test": 1}), (3, {"train": 1, "val": 1, "test": 1})],
)
def test_made_splits_of_tiny_classes(images: int, expected: dict[str, int]) -> None:
    assert Counter(make_splits({f"{i}": "cat" for i in range(images)}).values()) == expected


def test_class_with_one_image_is_said(pets: Path) -> None:
    save_photo(pets / "images" / "emu" / "0.png")
    assert any("class 'emu' has one image" in problem for problem in problems(pets))
    assert read(pets).classes == ("cat", "dog", "emu")


def test_split_csv(pets: Path) -> None:
    write_split(
        pets,
        "\ufefffile,walk,class,split,group",
        "images/cat/0.png,w1,feline,train,indoor",
        r"images\dog\0.png,w1,canine,Validation,",
        "images/dog/1.png,w1,canine,holdout,outdoor",
    )
    found = read(pets)
    assert found.classes == ("canine", "feline")
    assert [(i.id, i.label, i.split, i.group) for i in found.items] == [
        ("images/cat/0.png", 1, "train", "indoor"),
        ("images/dog/0.png", 0, "val", None),
        ("images/dog/1.png", 0, "holdout", "outdoor"),
    ]
    assert "17 images are not listed" in str(found.problems[0])


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_split_csv_of_a_spreadsheet(pets: Path, delimiter: str) -> None:
    write_split(pets, *("file,split\ncat/0.png,train\ndog/0.png,test".replace(",", delimiter).split("\n")))
    assert [(i.label, i.split) for i in read(pets).items] == [(0, "train"), (1, "test")]


def test_split_csv_without_split_has_splits_made(pets: Path) -> None:
    write_split(pets, "file", *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(10)))
    assert Counter(item.split for item in read(pets).items) == {"train": 12, "val": 4, "test": 4}


def test_flat_images_get_their_class_from_split_csv(tmp_path: Path) -> None:
    for number in range(4):
        save_photo(tmp_path / "images" / f"{number}.png")
    with pytest.raises(DataError, match="an image without class; put it into"):
        read(tmp_path)
    write_split(tmp_path, "file,class", "0.png,a", "1.png,a", "2.png,b", "3.png,b")
    assert [item.label for item in read(tmp_path).items] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["name,split", "a,train"],
            "has no column 'file'; its columns are: name, split|has no column 'file'",
        ),
        (
            ["file,class,split", "cat/0.png,cat,train", "cat/77.png,cat,train"],
            "line 3: cat/77.png does not exist",
        ),
        (["file,class,split", "cat/0.png,cat,"], "line 2: no split"),
        (["file,class,split", "cat/0.png,cat,train,x,y"], "line 2: more cells than columns"),
        (["file,class,split", '"cat/0.png,cat,train'], "unexpected end of data"),
        (["file,class,split"], "has no rows"),
        (["file,class,split", "0.png,cat,train"], "can mean 2 images"),
        (
            ["file,class,split", "cat/0.png,cat,train", "dog/0.png,dog,test", "cat/0.png,cat,test"],
            "line 4: cat/0.png stands in line 2 already, with another class or split",
        ),
    ],
)
def test_broken_split_csv(pets: Path, lines: list[str], message: str) -> None:
    write_split(pets, *lines)
    with pytest.raises(DataError, match=message):
        read(pets)


def test_split_csv_that_is_not_text(pets: Path) -> None:
    (pets / "split.csv").write_bytes(b"file,class\n\xff\xfe,cat\n")
    with pytest.raises(DataError, match=r"split\.csv: is not UTF-8 text \(byte 11\)"):
        read(pets)


def test_split_csv_remarks(pets: Path) -> None:
    write_split(
        pets, "file,class,split", *["cat/0.png,cat,train"] * 2, "cat/1.png,dog,train", "dog/0.png,dog,test"
    )
    said = "\n".join(problems(pets))
    assert "line 3: cat/0.png stands in line 2 already; delete" in said
    assert "line 4: cat/1.png is of class 'dog', but lies in the folder 'cat'" in said
    assert "class 'cat' has one image" in said


def test_one_class_stops_training(pets: Path) -> None:
    write_split(pets, "file,class,split", "cat/0.png,cat,train", "cat/1.png,cat,test")
    with pytest.raises(DataError, match="only one class"):
        read(pets)


def test_names_that_are_no_text_are_split_too() -> None:
    names = {os.fsdecode(b"images/cat/\xff%d.png" % i): "cat" for i in range(10)}
    assert Counter(make_splits(names).values()) == {"train": 6, "val": 2, "test": 2}
