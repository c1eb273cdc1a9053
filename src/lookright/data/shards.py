"""Data sets as numbered tar files (WebDataset), for sets that are read in a stream.

FOLDER/shards.json               classes, and for each shard its split and how many images it holds
FOLDER/train-0000.tar, ...       KEY.jpg (or .png, ...), KEY.json, and where there are any KEY.mask.png and
                                 KEY.negative.png (.npy where marks are graded)
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.data.annotations import AnnotationSet, Item
from lookright.errors import ConfigError, DataError
from lookright.files import replacing
from lookright.types import Task

INDEX = "shards.json"


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    file: str
    """name below the folder"""
    split: str
    images: int
    annotated: int
    """how many of the images are"""


@dataclass(frozen=True)
class ShardIndex:
    """What `shards.json` says of a folder of shards."""

    root: Path
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]

    def split(self, name: str) -> tuple[Shard, ...]:
        """The shards of a split.

        Raises:
            DataError: there is none.
        """
        found = tuple(shard for shard in self.shards if shard.split == name)
        if not found:
            there = ", ".join(sorted({shard.split for shard in self.shards}))
            raise DataError(f"{self.root}: no shard is of split {name!r}; the splits there are: {there}")
        return found


def read_shard_index(root: Path) -> ShardIndex:
    """Read `shards.json`; no shard is opened.

    Raises:
        DataError: it is missing or damaged, or a shard that it names is not there.
    """
    file = root / INDEX
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        shards = tuple(Shard(**shard) for shard in read["shards"])
        classes = tuple(read["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: missing or damaged ({error}); write the shards by lookright pack, or pack them again"
        ) from error
    for shard in shards:
        if not (root / shard.file).is_file():
            raise DataError(f"{root / shard.file}: not there, but {INDEX} names it; copy it, or pack again")
    return ShardIndex(root, classes, shards)


def write_shards(
    annotation_set: AnnotationSet, folder: Path, *, images_per_shard: int = 1000, seed: int = 0
) -> ShardIndex:
    """Pack a data set into tar files. Image files go in as they are, marks as files of their own.

    The images of a split are shuffled once, so that each shard is a sample of all of them: what is shuffled
    while streaming is the order of the shards and what lies close together.

    Args:
        annotation_set: as `read_annotations` gives it; one class per image
        folder: new or empty
        images_per_shard: at most; training needs at least one shard per process and split
        seed: of the order

    Raises:
        ConfigError: the folder is in use, a size below 1, another task, or webdataset is not installed.
        DataError: an image or its marks cannot be read; nothing can be written there.
    """
    if annotation_set.task is not Task.SINGLE_LABEL:
        raise ConfigError(
            f"data: {annotation_set.root} is a {annotation_set.task.value} task; only images of one class "
            "each can be packed"
        )
    if images_per_shard < 1:
        raise ConfigError(f"images_per_shard: got {images_per_shard}, need 1 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"out: {folder} exists and is not empty; choose another folder")
    shards: list[Shard] = []
    for split in annotation_set.splits:
        items = annotation_set.split(split).items
        order = np.random.default_rng(seed).permutation(len(items))
        for number, start in enumerate(range(0, len(items), images_per_shard)):
            part = [items[i] for i in order[start : start + images_per_shard]]
            name = f"{split}-{number:04d}.tar"
            _write_shard(folder / name, part, start)
            shards.append(Shard(name, split, len(part), sum(item.annotated for item in part)))
    # Last, so that a folder with an index is whole.
    with replacing(folder / INDEX) as temporary:
        index = {"classes": list(annotation_set.classes), "shards": [asdict(shard) for shard in shards]}
        temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return ShardIndex(folder, annotation_set.classes, tuple(shards))


def load_webdataset() -> ModuleType:
    """Import webdataset.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import webdataset
    except ImportError as error:
        raise ConfigError("format: webdataset is not installed; pip install 'lookright[stream]'") from error
    module: ModuleType = webdataset
    return module


def _write_shard(path: Path, items: Sequence[Item], first: int) -> None:
    writer = load_webdataset().TarWriter
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
        writer(file, encoder=False, mtime=0) as tar,
    ):
        for i, item in enumerate(items):
            tar.write({"__key__": f"{first + i:08d}", **_members(item)})


def _members(item: Item) -> dict[str, bytes]:
    """What is in a shard of one image, by suffix."""
    facts = {
        "id": item.id,
        "label": item.label,
        "split": item.split,
        "group": item.group,
        "annotated": item.annotated,
        "covers_whole_image": item.marks is not None and item.marks.covers_whole_image,
    }
    try:
        image = item.path.read_bytes()
    except OSError as error:
        raise DataError(f"{item.path}: cannot be read ({error.strerror}); copy it again") from error
    found = {item.path.suffix.lower().removeprefix("."): image, "json": json.dumps(facts).encode()}
    if item.marks is not None:
        positive, negative = item.marks.sides()
        found |= _mask("mask", positive)
        if negative.any():
            found |= _mask("negative", negative)
    return found


def _mask(name: str, marks: NDArray[np.float32]) -> dict[str, bytes]:
    """Black and white where that says it all; graded marks as an array, to the bit."""
    file = io.BytesIO()
    if bool(np.isin(marks, (0, 1)).all()):
        Image.fromarray((marks * 255).astype(np.uint8)).save(file, "PNG")
        return {f"{name}.png": file.getvalue()}
    np.save(file, marks)
    return {f"{name}.npy": file.getvalue()}
