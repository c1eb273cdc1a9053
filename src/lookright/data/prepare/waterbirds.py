"""The published Waterbirds folder, with the segmentations of CUB-200-2011 as annotations."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lookright.data.annotations import Area, size_text
from lookright.data.images import decode, open_picture, to_rgb
from lookright.data.layout import posix
from lookright.data.prepare.output import Prepared, check_out, made_with, writing
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import WaterbirdsConfig

IMAGES_URL = "https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz"
SEGMENTATIONS_URL = "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz"
SEGMENTATIONS_MD5 = "4d47ba1228eae64f2fa547c47bc65255"

CLASSES = ("landbird", "waterbird")
PLACES = ("land", "water")
SPLITS = ("train", "val", "test")

_TABLE = "metadata.csv"
_COLUMNS = {"y": CLASSES, "place": PLACES, "split": SPLITS}
_HALF = 127


@dataclass(frozen=True)
class _Row:
    file: str
    class_name: str
    place: str
    split: str


def prepare_waterbirds(config: WaterbirdsConfig) -> Prepared:
    """Bring the published Waterbirds and the segmentations of CUB-200-2011 into the layout read here.

    Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts" (ICLR 2020); Wah et al.,
    "The Caltech-UCSD Birds-200-2011 Dataset" (2011). `source` holds metadata.csv (img_id, img_filename, y,
    split, place, place_filename) and the images; `segmentations` has <species>/<image>.png, grey levels for
    the share of people who marked a pixel. Where more than half did, it is positive. Images are copied as
    they are. Splits are the published ones, 0, 1, 2 for train, val, test; the column `group` of split.csv is
    class/place (landbird or waterbird, land or water).

    Raises:
        ConfigError: a folder was not named, or `out` is in use.
        DataError: a file is missing or damaged, another table, or a segmentation of another size.
    """
    if config.source is None:
        raise ConfigError(f"from: missing; give the folder of {_TABLE}, unpacked from {IMAGES_URL}")
    if config.segmentations is None:
        raise ConfigError(
            "segmentations: missing; give the folder of CUB's segmentations, unpacked from "
            f"{SEGMENTATIONS_URL} (md5 {SEGMENTATIONS_MD5})"
        )
    check_out(config)
    rows = list(_read_table(config.source))
    with writing(config) as writer:
        for row in rows:
            image = config.source / row.file
            mask = config.segmentations / PurePosixPath(row.file).with_suffix(".png")
            writer.add(
                image,
                row.file.replace("/", "__"),
                class_name=row.class_name,
                split=row.split,
                group=f"{row.class_name}/{row.place}",
                positive=_segmentation(mask, image),
                origin={"source": row.file},
            )
        _check_groups(config.source, Counter(row["group"] for row in writer.rows if row["split"] == "test"))
        return writer.finish(made_with("waterbirds", config))


def _read_table(folder: Path) -> Iterator[_Row]:
    table = folder / _TABLE
    if not table.is_file():
        raise DataError(
            f"{table}: there is no such file; give the unpacked folder of {IMAGES_URL} "
            "(waterbird_complete95_forest2water2)"
        )
    try:
        with table.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            needed = ("img_filename", *_COLUMNS)
            if missing := [name for name in needed if name not in (reader.fieldnames or [])]:
                there = ", ".join(reader.fieldnames or []) or "none"
                raise DataError(f"{table}: no column {', '.join(missing)}; its columns are: {there}")
            for cells in reader:
                told = {}
                for name, meanings in _COLUMNS.items():
                    number = (cells[name] or "").strip()
                    if number not in map(str, range(len(meanings))):
                        raise DataError(
                            f"{table}: line {reader.line_num}: {name} is {number!r}, "
                            f"need 0 to {len(meanings) - 1}; take the table as published"
                        )
                    told[name] = meanings[int(number)]
                yield _Row(posix(cells["img_filename"] or ""), told["y"], told["place"], told["split"])
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{table}: cannot be read ({error}); unpack it again") from error


def _segmentation(mask: Path, image: Path) -> Area:
    """(H, W), 1 where more than half of CUB's annotators marked."""
    if not mask.is_file():
        raise DataError(
            f"{mask}: there is no such file; segmentations has to be the folder that holds the folders "
            f"of the species, unpacked from {SEGMENTATIONS_URL}"
        )
    grey = np.asarray(to_rgb(decode(mask)[0], mask).convert("L"))
    size = open_picture(image).image.size
    if grey.shape != size[::-1]:
        raise DataError(
            f"{mask}: {size_text(grey)}, the image is {size[0]} x {size[1]}; take both as published"
        )
    return (grey > _HALF).astype(np.float32)


def _check_groups(folder: Path, counts: Counter[str]) -> None:
    for class_name in CLASSES:
        for place in PLACES:
            if not counts[f"{class_name}/{place}"]:
                raise DataError(
                    f"{folder}: no image of {class_name}/{place} in the test; take all of the table"
                )
