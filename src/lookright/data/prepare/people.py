"""Photos and segmented people out of COCO's own json files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookright.data.annotations import Shapes
from lookright.data.layout import posix
from lookright.data.prepare.captions import class_named
from lookright.data.readers.coco import shapes_of
from lookright.data.readers.sources import read_json
from lookright.errors import DataError
from lookright.prepare_config import GenderConfig

PARTS = ("train", "val")
"""What COCO publishes annotations of"""

MISSING = "not in the folder of --images"
"""Why a photo is left out that nobody has put there"""

Rows = list[dict[str, Any]]

_CAPTIONS = {"annotations": ("image_id", "caption")}
_INSTANCES = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}
_NUMBERS = ("id", "image_id", "category_id", "height", "width")


@dataclass(frozen=True)
class Candidate:
    """A photo whose captions name one class, with its people."""

    id: str
    """part and file name: train2014/COCO_train2014_000000000001.jpg"""
    path: Path
    part: str
    """of `PARTS`"""
    class_name: str
    people: Shapes


@dataclass
class Candidates:
    """The photos that fit, and why others were left out."""

    photos: list[Candidate] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """reason -> photos"""
    example: dict[str, str] = field(default_factory=dict)
    """reason -> one of them"""

    def told(self) -> list[str]:
        """A sentence for each reason."""
        return [
            f"{count} photos left out: {reason}, for instance {self.example[reason]}"
            for reason, count in self.left_out.most_common()
        ]


def read_part(
    config: GenderConfig, part: str, files: tuple[Path, Path], images: Path, found: Candidates
) -> None:
    """Add the photos of one part of COCO that fit.

    Args:
        config: its year, captions, people and area count
        part: of `PARTS`
        files: the captions and the instances of this part
        images: folder of the photos
        found: what is added to

    Raises:
        DataError: a json file is damaged, or not COCO's.
    """
    captions: dict[object, list[str]] = defaultdict(list)
    for row in _load(files[0], _CAPTIONS)["annotations"]:
        captions[row["image_id"]].append(str(row["caption"]))
    content = _load(files[1], _INSTANCES)
    person = {row["id"] for row in content["categories"] if row["name"] == "person"}
    if not person:
        there = ", ".join(str(row["name"]) for row in content["categories"]) or "none"
        raise DataError(f"{files[1]}: has no category 'person', but {there}; take the file as published")
    people: dict[object, Rows] = defaultdict(list)
    for row in content["annotations"]:
        if row["category_id"] in person:
            people[row["image_id"]].append(row)
    folder = f"{part}{config.year}"
    for entry in content["images"]:
        class_name = class_named(captions.get(entry["id"], ()), config.captions)
        if class_name is None:
            continue
        name = posix(str(entry["file_name"])).rpartition("/")[2]
        places = (images / name, images / folder / name)
        path = next((place for place in places if place.is_file()), None)
        shapes = _people(config, entry, people.get(entry["id"], []), path, f"{files[1]}, {name}")
        if path is None or isinstance(shapes, str):
            reason = str(shapes)
            found.left_out[reason] += 1
            found.example.setdefault(reason, name)
        else:
            found.photos.append(Candidate(f"{folder}/{name}", path, part, class_name, shapes))


def _people(
    config: GenderConfig, entry: Mapping[str, Any], people: Rows, path: Path | None, source: str
) -> Shapes | str:
    """The people of a photo, or why it is left out; what takes longest is asked last."""
    height, width = entry["height"], entry["width"]
    if not people:
        return "nobody is segmented"
    if any(row.get("iscrowd") for row in people):
        return "a crowd is segmented as one"
    if len(people) > config.people:
        return f"more people than {config.people}"
    if not all(row.get("segmentation") for row in people):
        return "a person without segmentation"
    if path is None:
        return MISSING
    try:
        drawn = [shape for row in people for shape in shapes_of(row, height, width)]
        shapes = Shapes(height, width, tuple(drawn), source=source)
        share = float(np.mean(shapes.sides()[0]))
    except (DataError, TypeError, ValueError, KeyError, OverflowError):
        return "a damaged segmentation"
    if share < config.area:
        return f"people cover less than {config.area:g} of it"
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as photo:
            size = photo.size
    except OSError:
        return "the photo cannot be read"
    return shapes if size == (width, height) else "the photo has another size than COCO says"


def _load(file: Path, needed: Mapping[str, Sequence[str]]) -> dict[str, Rows]:
    """Lists of rows, each with the columns that are needed."""
    content, problem = read_json(file)
    if problem is not None:
        raise DataError(str(problem))
    for name, columns in needed.items():
        rows = content.get(name) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(_is_row(row, columns) for row in rows):
            raise DataError(
                f"{file}: needs a list {name!r} whose entries have {', '.join(columns)} (numbers where COCO "
                "has numbers); take the file as published"
            )
    return dict(content)


def _is_row(row: object, columns: Sequence[str]) -> bool:
    return isinstance(row, dict) and all(
        column in row and (column not in _NUMBERS or (isinstance(row[column], int) and row[column] >= 0))
        for column in columns
    )
