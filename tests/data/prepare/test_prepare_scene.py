"""RES's scene folder, and its label files with photos of Places365, a few pixels large."""

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_server import serving
from data_files import save_photo
from prepared_sets import all_bytes, pixels, rows_of

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.prepare import prepare_scene, scene
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import SceneConfig

COLUMNS = ("img_idx", "attention", "img_check", "matrix_resize")
LEFT = [[1, 0], [1, 0]]
RIGHT = [[0, 1], [0, 1]]


def write_labels(file: Path, rows: dict[str, Any], check: str = "good") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as table:
        lines = [(name, json.dumps(matrix), check, "[]") for name, matrix in rows.items()]
        csv.writer(table).writerows([COLUMNS, *lines])


@pytest.fixture
def published(tmp_path: Path) -> SceneConfig:
    """RES's layout: names in the tables have no suffix."""
    root = tmp_path / "places"
    for split in ("train", "val", "test"):
        for class_name in ("nature", "urban"):
            for number in range(2):
                save_photo(root / split / class_name / f"{split}_{class_name}_{number}.jpg")
    save_photo(root / "fw_1_seed_0" / "nature" / "train_nature_0.jpg")  # what RES's code leaves behind
    write_labels(root / "attention_label" / "factual.csv", {"train_nature_0": LEFT, "test_urban_1": RIGHT})
    write_labels(root / "attention_label" / "counterfactual.csv", {"train_nature_0": RIGHT})
    return SceneConfig(source=root, out=tmp_path / "out")


@pytest.fixture
def places(tmp_path: Path) -> SceneConfig:
    """Label files alone, and photos of Places365."""
    images = tmp_path / "places365" / "data_256"
    for number in range(5):
        save_photo(images / "m" / "mountain" / f"{number:08d}.jpg")
        save_photo(images / "f" / "field" / "wild" / f"1{number:07d}.jpg")
        save_photo(images / "s" / "street" / f"2{number:07d}.jpg")
        save_photo(images / "c" / "canal" / "urban" / f"3{number:07d}.jpg")  # a category, not the class
        save_photo(images / "m" / "mountain_path" / f"4{number:07d}.jpg")
    write_labels(
        tmp_path / "labels" / "factual.csv", {"00000003": LEFT, "10000001.jpg": LEFT, "20000004": RIGHT}
    )
    return SceneConfig(
        source=tmp_path / "labels",
        images=tmp_path / "places365",
        out=tmp_path / "out",
        nature=["mountain", "field/wild"],
        urban=["street"],
    )


def test_the_published_folder(published: SceneConfig) -> None:
    prepared = prepare_scene(published)
    rows = rows_of(prepared.folder)
    assert (prepared.images, prepared.annotated, prepared.remarks) == (12, 2, ())
    assert all(row["source"].startswith(f"{row['split']}/{row['class']}/") for row in rows)
    found = read_annotations(DataConfig(data=prepared.folder))
    assert not found.problems
    marks = {item.id: item.marks.render() for item in found.items if item.annotated}
    half = np.zeros((8, 12))  # the matrix lies over the whole photo
    half[:, :6] = 1
    assert marks.keys() == {"images/nature/train_nature_0.jpg", "images/urban/test_urban_1.jpg"}
    assert (marks["images/nature/train_nature_0.jpg"] == half - half[:, ::-1]).all()
    assert (marks["images/urban/test_urban_1.jpg"] == half[:, ::-1]).all()
    photo = published.source / "train" / "nature" / "train_nature_0.jpg"
    assert (prepared.folder / "images/nature/train_nature_0.jpg").read_bytes() == photo.read_bytes()


def test_folders_without_splits_get_them(tmp_path: Path) -> None:
    for class_name in ("nature", "urban"):
        for number in range(5):
            save_photo(tmp_path / "set" / "image" / class_name / f"{class_name}{number}.jpg")
    write_labels(tmp_path / "set" / "attention_label" / "all.csv", {"urban0.jpg": LEFT})
    prepared = prepare_scene(SceneConfig(source=tmp_path / "set", out=tmp_path / "out"))
    assert {split: sum(groups.values()) for split, groups in prepared.groups.items()} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }


def test_photos_of_places(places: SceneConfig) -> None:
    prepared = prepare_scene(places)
    rows = rows_of(prepared.folder)
    assert {(row["source"].split("/")[2], row["class"]) for row in rows} == {
        ("mountain", "nature"),
        ("field", "nature"),
        ("street", "urban"),
    }
    assert (prepared.images, prepared.annotated) == (15, 3)
    mask = prepared.folder / "masks" / "urban" / "data_256__s__street__20000004.png"
    assert (pixels(mask) == np.repeat([[0, 1]], 8, axis=0).repeat(6, axis=1)).all()


def test_categories_of_another_spelling(places: SceneConfig) -> None:
    (places.images / "data_256" / "f" / "field" / "wild").rename(places.images / "data_256" / "field-wild")
    assert prepare_scene(places).annotated == 3


def test_annotated_photos_are_chosen_first(places: SceneConfig, tmp_path: Path) -> None:
    chosen = [
        prepare_scene(replace(places, per_class=3, seed=seed, out=tmp_path / str(number)))
        for number, seed in enumerate((0, 0, 1))
    ]
    assert [(prepared.images, prepared.annotated) for prepared in chosen] == [(6, 3)] * 3
    first, again, other = (all_bytes(prepared.folder) for prepared in chosen)
    assert first == again
    assert first.keys() != other.keys()


def test_validation_photos_of_places_are_in_lists(places: SceneConfig) -> None:
    for number in range(1, 4):
        save_photo(places.images / "val_256" / f"Places365_val_0000000{number}.jpg")
    (places.images / "categories_places365.txt").write_text(
        "/f/field/wild 141\n/m/mountain 232\n/t/tower 334\n"
    )
    (places.images / "places365_val.txt").write_text(
        "Places365_val_00000001.jpg 334\nPlaces365_val_00000002.jpg 141\nPlaces365_val_00000003.jpg 232\n"
    )
    write_labels(places.source / "factual.csv", {"Places365_val_00000002": LEFT})
    prepared = prepare_scene(places)
    of_val = {row["source"]: row["class"] for row in rows_of(prepared.folder) if "val_256" in row["source"]}
    assert of_val == {f"val_256/Places365_val_0000000{number}.jpg": "nature" for number in (2, 3)}
    assert prepared.annotated == 1


def test_rows_that_fit_no_photo_are_told(places: SceneConfig) -> None:
    write_labels(places.source / "more.csv", {"00000001": LEFT, "elsewhere": LEFT, "00000002": [[3]]})
    remark = prepare_scene(places).remarks[0]
    assert remark.startswith("2 rows of ")
    assert "there is no image for 'elsewhere'" in remark


def _same_names(config: SceneConfig) -> None:
    save_photo(config.images / "data_256" / "s" / "street" / "00000003.jpg")


def _other_names(config: SceneConfig) -> None:
    write_labels(config.source / "factual.csv", {"elsewhere": LEFT})


def _none_good(config: SceneConfig) -> None:
    write_labels(config.source / "factual.csv", {"00000003": LEFT}, check="bad")


def _another_table(config: SceneConfig) -> None:
    (config.source / "factual.csv").write_text("file,mask\n")


def _no_table(config: SceneConfig) -> None:
    (config.source / "factual.csv").unlink()


def _half_the_lists(config: SceneConfig) -> None:
    (config.images / "places365_val.txt").write_text("a.jpg 1\n")


def _broken_list(config: SceneConfig) -> None:
    _half_the_lists(config)
    (config.images / "categories_places365.txt").write_text("/a/airfield 0\n/m/mountain\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_same_names, "'00000003' can mean 2 images: .*mountain.*street"),
        (_other_names, "no row annotates a photo in .*there is no image for 'elsewhere'"),
        (_none_good, "no row annotates a photo in .*rows count whose img_check is 'good'"),
        (_another_table, "no column img_idx, attention, img_check; its columns are: file, mask"),
        (
            _no_table,
            "no csv file there, nor in attention_label/; download RES's archive by hand from https://dr",
        ),
        (_half_the_lists, "holds places365_val.txt without categories_places365.txt"),
        (_broken_list, "categories_places365.txt: line 2 is '/m/mountain', need a name and a number"),
    ],
)
def test_damage(damage: Callable[[SceneConfig], None], message: str, places: SceneConfig) -> None:
    damage(places)
    with pytest.raises(DataError, match=message):
        prepare_scene(places)
    assert not places.out.exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"source": None},
            ConfigError,
            "from: missing; give RES's folder .*by hand from https://drive.google",
        ),
        ({"out": None}, ConfigError, "out: missing"),
        ({"images": Path("/nowhere")}, DataError, "/nowhere: there is no such folder"),
        ({"per_class": 0}, ConfigError, "per_class: got 0, need 1 or more"),
        ({"per_class": 6}, ConfigError, "per_class: got 6; .* has 5 photos of urban"),
        ({"urban": ["street", "Mountain"]}, ConfigError, "urban: 'mountain' is in --nature already"),
        ({"urban": ["streat"]}, ConfigError, "urban: .* has no photo of the category 'streat'"),
        ({"nature": ["x"], "urban": ["y"]}, DataError, "no photo of nature; give the folder of Places365"),
    ],
)
def test_mistakes(change: dict[str, Any], error: type[Exception], message: str, places: SceneConfig) -> None:
    with pytest.raises(error, match=message):
        prepare_scene(replace(places, **change))


def test_published_splits_stay_whole(published: SceneConfig) -> None:
    with pytest.raises(ConfigError, match="per_class: RES's splits stay whole"):
        prepare_scene(replace(published, per_class=1))


def test_one_class_alone(published: SceneConfig) -> None:
    for split in ("train", "val", "test"):
        shutil.rmtree(published.source / split / "urban")
    with pytest.raises(DataError, match="no photo of urban; give RES's folder with train"):
        prepare_scene(published)


def packed(folder: Path, *names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names:
            archive.add(folder / name, name)
    return content.getvalue()


def test_download(places: SceneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "server"
    for number in range(1, 7):
        save_photo(here / "val_256" / f"Places365_val_0000000{number}.jpg")
    (here / "categories_places365.txt").write_text("/m/mountain 0\n/s/street 1\n")
    lines = [f"Places365_val_0000000{number}.jpg {number % 2}\n" for number in range(1, 7)]
    (here / "places365_val.txt").write_text("".join(lines))
    write_labels(places.source / "factual.csv", {"Places365_val_00000001": LEFT})
    lists = packed(here, "categories_places365.txt", "places365_val.txt")
    with serving(packed(here, "val_256"), "val.tar") as val, serving(lists, "lists.tar") as txt:
        monkeypatch.setattr(scene, "ARCHIVES", {"val_256": val.archive, "places365_val.txt": txt.archive})
        config = replace(places, images=tmp_path / "new", nature=["mountain"], download=True)
        prepared = prepare_scene(config)
        prepare_scene(replace(config, out=tmp_path / "again"))
        assert (len(val.asked), len(txt.asked)) == (1, 1)
    assert (prepared.images, prepared.annotated) == (6, 1)
    with pytest.raises(ConfigError, match="images: missing; name the folder to download"):
        prepare_scene(replace(config, images=None, out=tmp_path / "third"))
