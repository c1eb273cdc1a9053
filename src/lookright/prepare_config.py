"""Every option of `lookright data prepare`, with its default.

Nothing here imports torch, as in `lookright.config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from lookright.config import DataConfig, option

Year = Literal["2014", "2017"]


@dataclass(frozen=True)
class PrepareConfig(DataConfig):
    """What `lookright data prepare` reads (the options of a data folder, which is `source`) and writes."""

    lacks: ClassVar[tuple[str, ...]] = ()
    """fields that do not count for this set"""

    source: Path | None = option(None, "folder to read; it is left as it is")
    out: Path | None = option(None, "data folder to write; new or empty")
    overwrite: bool = option(False, "replace a folder that this command has written before")
    seed: int = option(0, "another seed, another draw")


HOW_MARKED = ("annotations", "format", "positive_categories", "negative_categories", "combine")
"""Options of a data folder that count when a set is made of it."""


@dataclass(frozen=True)
class DigitsConfig(PrepareConfig):
    """Handwritten digits with a patch that tells the class in training, as `lookright demo` has them."""

    lacks = (*HOW_MARKED, "source")

    per_class_train: int = option(60, "images of each digit to train on")
    per_class_val: int = option(10, "images of each digit to validate on")
    per_class_test: int = option(40, "images of each digit in test, and the same again in test_decoy")
    patch: int = option(6, "side of the patch in a corner, in pixels of 32")
    contrast: float = option(0.5, "brightness of the strokes: the fainter, the more tempting the patch")
    noise: float = option(10.0, "standard deviation of grey noise, in levels of 255")


@dataclass(frozen=True)
class DecoyConfig(PrepareConfig):
    """Photos with a marker that tells the class in training and lies in the test."""

    correlation: float = option(1.0, "share of the training images of a class that have its own marker")
    test: Literal["random", "inverted"] = option(
        "random", "markers of the test: every marker equally often in each class, or never the class's own"
    )
    val: Literal["train", "test"] = option("train", "markers of the validation images are drawn as there")
    marker: Literal["patch", "glyph"] = option(
        "patch", "a square of a colour, or a small white shape on black"
    )
    size: float = option(0.12, "side of the marker, as a share of the image's shorter side")
    position: Literal["corner", "anywhere"] = option(
        "corner", "a random corner, or a random place; never on the annotation"
    )
    mark_negative: bool = option(False, "also write the marker as a negative mark")


@dataclass(frozen=True)
class ShiftedConfig(PrepareConfig):
    """Cut-out objects (of `source`) on backgrounds that tell the class in training and not in the test."""

    background: Path | None = option(None, "folder whose classes are the backgrounds")
    foreground_classes: list[str] = option([], "classes of the objects (default: all)")
    background_classes: list[str] = option(
        [], "classes of the backgrounds, the first one going with the first class of objects (default: all)"
    )
    correlation: float = option(0.95, "share of the training images of a class that have its own background")
    object_size: float | None = option(
        None, "longer side of the object, as a share of the image's side (default: as in its photo)"
    )
    background_part: Literal["whole", "unmarked"] = option(
        "whole", "the whole photo, or the largest square of it that nothing is marked on"
    )


@dataclass(frozen=True)
class WaterbirdsConfig(PrepareConfig):
    """The published Waterbirds folder with the segmentations of CUB-200-2011."""

    lacks = (*HOW_MARKED, "seed")

    segmentations: Path | None = option(None, "folder of CUB's segmentations: <species>/<image>.png")


@dataclass(frozen=True)
class GenderConfig(PrepareConfig):
    """Photos of COCO whose captions name only a man or only a woman."""

    lacks = HOW_MARKED

    source: Path | None = option(
        None, "folder with COCO's captions_*.json and instances_*.json, as they are or in annotations/"
    )
    images: Path | None = option(None, "folder with COCO's photos, as they are or in train2014/ and the like")
    year: Year = option("2014", "which edition of COCO")
    captions: int = option(1, "how many of a photo's captions have to name the man or the woman, at least")
    people: int = option(1, "people who are segmented in a photo, at most")
    area: float = option(0.02, "share of the photo that they cover, at least")
    per_class: int | None = option(
        None, "photos of each class over all splits, chosen by --seed (default: as many as there are)"
    )
    download: bool = option(False, "fetch the json files into the folder of --from, if they are not there")


@dataclass(frozen=True)
class SceneConfig(PrepareConfig):
    """Nature and urban scenes of Places365 with the annotations of RES."""

    lacks = HOW_MARKED

    source: Path | None = option(
        None, "RES's folder: attention_label/*.csv and, unless --images names others, its photos"
    )
    images: Path | None = option(
        None, "folder with photos of Places365: data_256/m/mountain/ and the like, or val_256/ and its lists"
    )
    nature: list[str] = option(
        ["mountain", "pond", "waterfall", "field/wild", "forest/broadleaf", "rainforest"],
        "with --images: categories of Places365 that are nature (default: the six that RES's data is of)",
    )
    urban: list[str] = option(
        ["house", "bridge", "campus", "tower", "street", "driveway"],
        "with --images: categories of Places365 that are urban (default: the six that RES's data is of)",
    )
    per_class: int | None = option(
        None, "with --images: photos of each class, annotated ones first, then by --seed (default: all)"
    )
    download: bool = option(
        False, "fetch the validation photos of Places365 into the folder of --images, if they are not there"
    )
