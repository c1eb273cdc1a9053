from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo

from lookright.config import DataConfig
from lookright.data import AnnotationSet, choose_subsets, read_annotations
from lookright.errors import DataError

TOP = np.zeros((8, 12), dtype=bool)
TOP[:4] = True


def read(root: Path) -> AnnotationSet:
    return read_annotations(DataConfig(data=root))


def write(root: Path, name: str, *lines: str) -> None:
    (root / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def all_train(pets: Path) -> AnnotationSet:
    """Nine cats and nine dogs in train, the first four of each annotated, and one of each in test."""
    lines = [f"{name}/{i}.png,{'test' if i == 9 else 'train'}" for name in ("cat", "dog") for i in range(10)]
    write(pets, "split.csv", "file,split", *lines)
    return read(pets)


def chosen(found: AnnotationSet) -> tuple[set[str], set[str]]:
    train = found.split("train").items
    return {item.id for item in train}, {item.id for item in train if item.marks}


def test_annotated_per_class_drops_marks_and_not_images(all_train: AnnotationSet) -> None:
    two, three = (choose_subsets(all_train, seed=3, annotated_per_class=n) for n in (2, 3))
    assert len(chosen(two)[0]) == 18
    assert Counter(item.label for item in two.items if item.marks) == {0: 2, 1: 2}
    assert chosen(two)[1] < chosen(three)[1]
    assert chosen(choose_subsets(all_train, seed=4, annotated_per_class=2)) != chosen(two)


def test_train_per_class_keeps_the_annotated_first(all_train: AnnotationSet) -> None:
    small, large = (choose_subsets(all_train, seed=0, train_per_class=n) for n in (3, 6))
    assert chosen(small)[0] < chosen(large)[0]
    assert len(chosen(large)[0]) == 12
    both = choose_subsets(all_train, seed=0, annotated_per_class=4, train_per_class=5)
    assert Counter(item.label for item in both.split("train").items) == {0: 5, 1: 5}
    assert len(chosen(both)[1]) == 8
    assert both.split("test").items == all_train.split("test").items


def test_choosing_nothing_changes_nothing(all_train: AnnotationSet) -> None:
    assert choose_subsets(all_train, seed=0) == all_train
    assert not chosen(choose_subsets(all_train, seed=0, annotated_per_class=0))[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_per_class": 10}, r"train_per_class: 10 .* 'cat' has 9, 'dog' has 9"),
        ({"annotated_per_class": 5}, r"annotated_per_class: 5 annotated .* 'cat' has 4"),
        ({"train_per_class": 0}, "got 0"),
        ({"annotated_per_class": -1}, "got -1"),
        ({"annotated_per_class": 4, "train_per_class": 3}, "cannot be annotated"),
    ],
)
def test_too_few(all_train: AnnotationSet, options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose_subsets(all_train, seed=0, **options)


# ---- several labels per image; a number to predict


@pytest.fixture
def many(tmp_path: Path) -> AnnotationSet:
    """Twenty images in train: 0-9 and 15-19 cars, 5-19 bikes; both marked on 5-9, and the bike on 10-14."""
    lines = ["file,labels,split"]
    for i in range(20):
        save_photo(tmp_path / "images" / f"{i:02}.png")
        names = ["car"] * (i < 10 or i >= 15) + ["bike"] * (i >= 5)
        lines.append(f"{i:02}.png,{';'.join(names)},train")
        for name in names:
            if 5 <= i < 10 or (name == "bike" and 10 <= i < 15):
                save_mask(tmp_path / "masks" / name / f"{i:02}.png", TOP)
    write(tmp_path, "labels.csv", *lines)
    return read(tmp_path)


def marked(found: AnnotationSet) -> set[tuple[str, int]]:
    return {(item.id, label) for item in found.items for label in item.marks_by_class}


def test_annotated_per_class_of_several_labels(many: AnnotationSet) -> None:
    assert choose_subsets(many, seed=0) == many
    two, four = (choose_subsets(many, seed=0, annotated_per_class=n) for n in (2, 4))
    assert len(two.items) == 20
    assert Counter(label for _, label in marked(two)) == {0: 2, 1: 2}
    assert marked(two) < marked(four) < marked(many)
    with pytest.raises(DataError, match="'car' has 5"):
        choose_subsets(many, seed=0, annotated_per_class=6)


def test_train_per_class_of_several_labels(many: AnnotationSet) -> None:
    chosen = choose_subsets(many, seed=0, train_per_class=3)
    counts = Counter(label for item in chosen.items for label in item.labels)
    assert min(counts.values()) >= 3
    assert 3 <= len(chosen.items) <= 6
    both = choose_subsets(many, seed=0, train_per_class=3, annotated_per_class=2)
    assert Counter(label for _, label in marked(both)) == {0: 2, 1: 2}
    with pytest.raises(DataError, match="'bike' has 15, 'car' has 15"):
        choose_subsets(many, seed=0, train_per_class=16)


def test_subsets_of_a_regression_count_all_images(tmp_path: Path) -> None:
    lines = [f"{i}.png,{i},train" for i in range(8)]
    for i in range(8):
        save_photo(tmp_path / "images" / f"{i}.png")
        if i < 5:
            save_mask(tmp_path / "masks" / f"{i}.png", TOP)
    write(tmp_path, "labels.csv", "file,value,split", *lines)
    found = read(tmp_path)
    chosen = choose_subsets(found, seed=0, annotated_per_class=2, train_per_class=4)
    assert len(chosen.items) == 4
    assert sum(item.annotated for item in chosen.items) == 2
    with pytest.raises(DataError, match="'all images' has 5"):
        choose_subsets(found, seed=0, annotated_per_class=6)
