"""The published Waterbirds layout, a few pixels large."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo
from prepared_sets import pixels, rows_of

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.prepare import prepare_waterbirds
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import WaterbirdsConfig

HEADER = "img_id,img_filename,y,split,place,place_filename\n"
LEVELS = np.array([0, 51, 102, 153, 204, 255], dtype=np.uint8)  # none to all of five annotators


@pytest.fixture
def config(tmp_path: Path) -> WaterbirdsConfig:
    folder, masks = tmp_path / "waterbird_complete95_forest2water2", tmp_path / "segmentations"
    lines = []
    for number in range(12):
        split, y, place = number // 4, number // 2 % 2, number % 2
        name = f"{number % 3 + 1:03d}.Species/Bird_{number:04d}"
        save_photo(folder / f"{name}.jpg")
        save_mask(masks / f"{name}.png", np.tile(LEVELS, (8, 2)))
        lines.append(f"{number},{name}.jpg,{y},{split},{place},/o/ocean/{number}.jpg\n")
    (folder / "metadata.csv").write_text(HEADER + "".join(lines))
    return WaterbirdsConfig(source=folder, segmentations=masks, out=tmp_path / "birds")


def test_classes_places_splits_and_masks(config: WaterbirdsConfig) -> None:
    prepared = prepare_waterbirds(config)
    every = {"landbird/land": 1, "landbird/water": 1, "waterbird/land": 1, "waterbird/water": 1}
    assert prepared.groups == {"train": every, "val": every, "test": every}
    row = rows_of(prepared.folder)[6]
    assert row["source"] == "001.Species/Bird_0006.jpg"
    assert (row["class"], row["split"], row["group"]) == ("waterbird", "val", "waterbird/land")
    assert (prepared.folder / row["file"]).read_bytes() == (config.source / row["source"]).read_bytes()
    found = read_annotations(DataConfig(data=prepared.folder))
    assert not found.problems
    assert found.classes == ("landbird", "waterbird")
    expected = np.tile([0, 0, 0, 1, 1, 1], (8, 2))  # three of five or more
    assert all((item.marks.render() == expected).all() for item in found.items)


def test_images_of_one_name_in_two_species_stay_apart(config: WaterbirdsConfig) -> None:
    save_photo(config.source / "009.Other" / "Bird_0000.jpg")
    save_mask(config.segmentations / "009.Other" / "Bird_0000.png", np.full((8, 12), 255, dtype=np.uint8))
    with (config.source / "metadata.csv").open("a") as table:
        table.write("12,009.Other/Bird_0000.jpg,0,0,0,x\n")
    folder = prepare_waterbirds(config).folder
    files = {row["source"]: row["file"] for row in rows_of(folder)}
    assert files["009.Other/Bird_0000.jpg"] != files["001.Species/Bird_0000.jpg"]
    assert pixels(folder / "masks" / "landbird" / "009.Other__Bird_0000.png").all()


def _no_table(config: WaterbirdsConfig) -> None:
    (config.source / "metadata.csv").unlink()


def _no_column(config: WaterbirdsConfig) -> None:
    table = config.source / "metadata.csv"
    table.write_text(table.read_text().replace("place,place", "where,place"))


def _strange_split(config: WaterbirdsConfig) -> None:
    table = config.source / "metadata.csv"
    table.write_text(table.read_text().replace("Bird_0004.jpg,0,1", "Bird_0004.jpg,0,3"))


def _no_image(config: WaterbirdsConfig) -> None:
    (config.source / "001.Species" / "Bird_0003.jpg").unlink()


def _no_mask(config: WaterbirdsConfig) -> None:
    (config.segmentations / "001.Species" / "Bird_0003.png").unlink()


def _other_size(config: WaterbirdsConfig) -> None:
    save_mask(config.segmentations / "001.Species" / "Bird_0003.png", np.zeros((12, 8), dtype=np.uint8))


def _no_group(config: WaterbirdsConfig) -> None:
    table = config.source / "metadata.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_table, "metadata.csv: there is no such file; give the unpacked folder of https://nlp.stanford"),
        (_no_column, "no column place; its columns are: img_id"),
        (_strange_split, "line 6: split is '3', need 0 to 2"),
        (_no_image, "Bird_0003.jpg: there is no such file"),
        (_no_mask, "Bird_0003.png: there is no such file; segmentations has to be"),
        (_other_size, "Bird_0003.png: 8 x 12, the image is 12 x 8"),
        (_no_group, "no image of waterbird/water in the test"),
    ],
)
def test_damage(damage: Callable[[WaterbirdsConfig], None], message: str, config: WaterbirdsConfig) -> None:
    damage(config)
    with pytest.raises(DataError, match=message):
        prepare_waterbirds(config)
    assert not config.out.exists()


@pytest.mark.parametrize("missing", ["source", "segmentations", "out"])
def test_missing_folders(missing: str, config: WaterbirdsConfig) -> None:
    with pytest.raises(ConfigError, match="missing; give"):
        prepare_waterbirds(replace(config, **{missing: None}))
