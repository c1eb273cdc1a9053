"""Decoys: who gets which marker, where it lies, what is left as it was."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask
from PIL import Image
from prepared_sets import all_bytes, pixels, rows_of, write_set

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.prepare import prepare_decoy
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import DecoyConfig

SPLITS = {"train": 10, "val": 4, "test": 7}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_set(tmp_path / "source", ("cat", "dog"), SPLITS)


@pytest.fixture
def config(source: Path, tmp_path: Path) -> DecoyConfig:
    return DecoyConfig(source=source, out=tmp_path / "decoy", size=0.2)


def groups(folder: Path, split: str) -> dict[str, int]:
    return dict(Counter(row["group"] for row in rows_of(folder) if row["split"] == split))


@pytest.mark.parametrize(
    ("options", "split", "expected"),
    [
        ({}, "train", {"cat/cat": 10, "dog/dog": 10}),
        ({}, "val", {"cat/cat": 4, "dog/dog": 4}),
        ({}, "test", {"cat/cat": 4, "cat/dog": 3, "dog/dog": 4, "dog/cat": 3}),
        ({"correlation": 0.8}, "train", {"cat/cat": 8, "cat/dog": 2, "dog/dog": 8, "dog/cat": 2}),
        ({"correlation": 0.0}, "train", {"cat/dog": 10, "dog/cat": 10}),
        ({"val": "test"}, "val", {"cat/cat": 2, "cat/dog": 2, "dog/dog": 2, "dog/cat": 2}),
        ({"test": "inverted"}, "test", {"cat/dog": 7, "dog/cat": 7}),
        ({"test": "inverted", "val": "test"}, "val", {"cat/dog": 4, "dog/cat": 4}),
    ],
)
def test_groups_are_as_asked_for(
    options: dict[str, object], split: str, expected: dict[str, int], config: DecoyConfig
) -> None:
    prepared = prepare_decoy(replace(config, **options))
    assert groups(prepared.folder, split) == expected
    assert prepared.groups[split] == expected
    assert prepared.images == prepared.annotated == 42


@pytest.mark.parametrize("position", ["corner", "anywhere"])
@pytest.mark.parametrize("marker", ["patch", "glyph"])
def test_only_a_square_outside_the_annotation_changes(
    position: str, marker: str, config: DecoyConfig, source: Path
) -> None:
    folder = prepare_decoy(replace(config, position=position, marker=marker)).folder
    corners = set()
    for row in rows_of(folder):
        before, after = pixels(source / row["source"]), pixels(folder / row["file"])
        mask = pixels(source / row["source"].replace("images", "masks", 1))
        changed = (before != after).any(axis=-1)
        assert not (changed & mask).any()
        top, left = np.argwhere(changed).min(axis=0)
        bottom, right = np.argwhere(changed).max(axis=0)
        assert max(bottom - top, right - left) == 5  # 0.2 of 32 pixels, rounded: a side of 6
        corners.add((top in (0, 26), left in (0, 34)))
        assert (pixels(folder / row["file"].replace("images", "masks", 1)) == mask).all()
    assert (corners == {(True, True)}) == (position == "corner")


def test_the_marker_is_that_of_the_second_part_of_the_group(config: DecoyConfig) -> None:
    folder = prepare_decoy(replace(config, mark_negative=True)).folder
    colours = {"cat": (255, 0, 0), "dog": (0, 255, 255)}  # hues 0 and 1/2
    for row in rows_of(folder):
        marker = pixels(folder / row["file"].replace("images", "negatives", 1))
        assert marker.sum() == 36
        assert (pixels(folder / row["file"])[marker] == colours[row["group"].split("/")[1]]).all()


def test_the_seed_decides_and_an_image_does_not_depend_on_others(config: DecoyConfig, tmp_path: Path) -> None:
    first = prepare_decoy(config).folder
    again = prepare_decoy(replace(config, out=tmp_path / "again")).folder
    other = prepare_decoy(replace(config, out=tmp_path / "other", seed=1)).folder
    assert all_bytes(first) == all_bytes(again)
    assert all_bytes(first) != all_bytes(other)
    smaller = write_set(tmp_path / "smaller", ("cat", "dog"), {**SPLITS, "train": 5})
    fewer = prepare_decoy(replace(config, source=smaller, out=tmp_path / "fewer")).folder
    train = [row["file"] for row in rows_of(fewer) if row["split"] == "train"]
    assert len(train) == 10
    assert all((first / file).read_bytes() == (fewer / file).read_bytes() for file in train)


def test_written_sets_are_read_with_groups_and_marks(config: DecoyConfig, source: Path) -> None:
    made = read_annotations(DataConfig(data=prepare_decoy(config).folder))
    plain = read_annotations(DataConfig(data=source))
    assert not made.problems
    assert made.classes == plain.classes
    for item, original in zip(made.items, plain.items, strict=True):
        assert (item.label, item.split) == (original.label, original.split)
        assert item.group is not None
        assert (item.marks.render() == original.marks.render()).all()


def test_photos_stay_jpeg_and_graded_marks_arrays(tmp_path: Path, config: DecoyConfig) -> None:
    folder = config.source
    photo = folder / "images" / "cat" / "train0.png"
    Image.open(photo).save(photo.with_suffix(".jpg"))
    photo.unlink()
    graded = np.zeros((32, 40), dtype=np.float32)
    graded[10:20, 10:20], graded[2:4, 20:24] = 0.25, -1
    np.save(folder / "masks" / "cat" / "train0.npy", graded)
    (folder / "masks" / "cat" / "train0.png").unlink()
    table = (folder / "split.csv").read_text().replace("cat/train0.png", "cat/train0.jpg")
    (folder / "split.csv").write_text(table)
    made = prepare_decoy(config).folder
    with Image.open(made / "images" / "cat" / "train0.jpg") as image:
        assert (image.format, image.layer[0][1:3]) == ("JPEG", (1, 1))  # colours at full resolution
    item = next(i for i in read_annotations(DataConfig(data=made)).items if i.id.endswith("train0.jpg"))
    assert (item.marks.render() == graded).all()


def test_an_annotation_without_a_free_corner_leaves_the_image_out(config: DecoyConfig, source: Path) -> None:
    save_mask(source / "masks" / "cat" / "train3.png", np.ones((32, 40), dtype=bool))
    prepared = prepare_decoy(config)
    assert prepared.images == 41
    assert "1 images left out: their annotation leaves no corner free" in prepared.remarks[0]
    assert "cat/train3.png" in prepared.remarks[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"source": None}, ConfigError, "from: missing"),
        ({"out": None}, ConfigError, "out: missing"),
        ({"size": 0.0}, ConfigError, "size: got 0.0"),
        ({"correlation": 1.5}, ConfigError, "correlation: got 1.5, need a share from 0 to 1"),
        ({"source": Path("/nowhere")}, DataError, "/nowhere: the data folder does not exist"),
    ],
)
def test_mistakes(
    options: dict[str, object], error: type[Exception], message: str, config: DecoyConfig
) -> None:
    with pytest.raises(error, match=message):
        prepare_decoy(replace(config, **options))
    assert not config.out.exists()


def test_a_set_without_masks_too_few_images_or_too_many_classes(config: DecoyConfig, tmp_path: Path) -> None:
    bare = write_set(tmp_path / "bare", ("cat", "dog"), SPLITS, masks=False)
    with pytest.raises(DataError, match="bare has no annotations"):
        prepare_decoy(replace(config, source=bare))
    few = write_set(tmp_path / "few", ("cat", "dog"), {"train": 2, "test": 1})
    with pytest.raises(DataError, match="too few images of 'cat' in split 'test'"):
        prepare_decoy(replace(config, source=few))
    many = write_set(tmp_path / "many", tuple("abcdefghi"), {"train": 1, "test": 1})
    with pytest.raises(ConfigError, match="9 classes, and there are 8 kinds of glyph"):
        prepare_decoy(replace(config, source=many, marker="glyph"))
    assert not config.out.exists()
    assert not list(tmp_path.glob(".decoy*"))


def test_a_folder_in_use_is_left_alone(config: DecoyConfig) -> None:
    config.out.mkdir()
    mine = config.out / "mine.txt"
    mine.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="holds something else"):
            prepare_decoy(replace(config, overwrite=overwrite))
    assert mine.read_text() == "mine"
    mine.unlink()
    prepare_decoy(config)
    with pytest.raises(ConfigError, match="--overwrite"):
        prepare_decoy(config)
    with pytest.raises(ConfigError, match="which is read"):
        prepare_decoy(replace(config, source=config.out, overwrite=True))
    prepare_decoy(replace(config, overwrite=True, seed=3))
    assert json.loads((config.out / "prepared.json").read_text())["seed"] == 3
