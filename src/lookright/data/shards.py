"""Data sets as numbered tar files (WebDataset), for sets that are read in a stream.

FOLDER/shards.json               classes, and for each shard its split and how many images it holds
FOLDER/train-0000.tar, ...       KEY.jpg (or .png, ...), KEY.json, and where there are any KEY.mask.png and
                                 KEY.negative.png (.npy where marks are graded)
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.config import DataConfig
from lookright.data.annotations import AnnotationSet, Area, Item
from lookright.data.layout import IMAGE_SUFFIXES
from lookright.errors import ConfigError, DataError
from lookright.files import replacing
from lookright.types import Task

INDEX = "shards.json"

FORMAT = "webdataset"
"""The `--format` of a folder of shards; without it such a folder is known by its index."""

_PACKED = ("annotations", "format", "positive_categories", "negative_categories", "combine")
"""Options that count when shards are packed, not when they are read."""

_CHOSEN = ("annotated_per_class", "train_per_class")
"""Options that need to know all images."""


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    file: str
    """name below the folder"""
    split: str
    images: int
    annotated: int
    """how many of the images are"""
    positive: int
    """how many have a positive mark"""
    negative: int
    """how many have a negative one"""


@dataclass(frozen=True)
class ShardIndex:
    """What `shards.json` says of a folder of shards."""

    root: Path
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    task: Task = Task.SINGLE_LABEL

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that there are."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    def split(self, name: str) -> tuple[Shard, ...]:
        """The shards of a split.

        Raises:
            DataError: there is none.
        """
        found = tuple(shard for shard in self.shards if shard.split == name)
        if not found:
            there = ", ".join(self.splits)
            raise DataError(f"{self.root}: no shard is of split {name!r}; the splits there are: {there}")
        return found


def is_sharded(config: DataConfig) -> bool:
    """Whether the options name a folder of shards.

    Example:
        >>> is_sharded(DataConfig(data=Path("photos"))), is_sharded(DataConfig(format="webdataset"))
        (False, True)
    """
    return config.format == FORMAT or (config.data is not None and (config.data / INDEX).is_file())


def find_shards(config: DataConfig) -> ShardIndex | None:
    """Read the index of the folder of shards that the options name; None if they name a data folder.

    Raises:
        ConfigError: options that cannot work on shards.
        DataError: as `read_shard_index`.
    """
    if config.data is None or not is_sharded(config):
        return None
    plain, wrong = DataConfig(format=FORMAT if config.format == FORMAT else "folders"), []
    if packed := [name for name in _PACKED if getattr(config, name) != getattr(plain, name)]:
        wrong.append(f"{', '.join(packed)}: given for shards, which hold what was packed; pack the data so")
    if chosen := [name for name in _CHOSEN if getattr(config, name) is not None]:
        wrong.append(
            f"{', '.join(chosen)}: images cannot be chosen from shards; train on the data folder, or leave "
            "this out"
        )
    if wrong:
        raise ConfigError("; ".join(wrong))
    return read_shard_index(config.data)


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
            shards.append(_write_shard(folder / name, split, part, start))
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


def read_shard_items(index: ShardIndex, split: str) -> tuple[Item, ...]:
    """Read what the images of a split are, without their pixels and marks.

    Their path is that of the shard, and the name in it.

    Args:
        index: as `read_shard_index` gives it
        split: which images

    Raises:
        DataError: the split is not there, or a shard cannot be read.
    """
    items: list[Item] = []
    for shard in index.split(split):
        path = index.root / shard.file
        try:
            with tarfile.open(path, "r:") as tar:
                items += _read_items(path, tar)
        except (OSError, ValueError, EOFError, KeyError, TypeError, tarfile.TarError) as error:
            raise DataError(f"{path}: cannot be read ({error}); copy it again, or pack again") from error
    return tuple(items)


def _read_items(path: Path, tar: tarfile.TarFile) -> Iterator[Item]:
    facts: dict[str, dict[str, Any]] = {}
    photos: dict[str, str] = {}
    for member in tar:
        key, _, suffix = member.name.partition(".")
        if f".{suffix}" in IMAGE_SUFFIXES:
            photos[key] = member.name
        elif suffix == "json" and (file := tar.extractfile(member)) is not None:
            facts[key] = json.load(file)
    for key, told in facts.items():
        yield Item(told["id"], path / photos[key], told["label"], told["split"], told["group"])


def _write_shard(path: Path, split: str, items: Sequence[Item], first: int) -> Shard:
    writer = load_webdataset().TarWriter
    counts = {"annotated": 0, "positive": 0, "negative": 0}
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
        writer(file, encoder=False, mtime=0) as tar,
    ):
        for i, item in enumerate(items):
            sides = None if item.marks is None else item.marks.sides()
            tar.write({"__key__": f"{first + i:08d}", **_members(item, sides)})
            if sides is not None:
                counts["annotated"] += 1
                for name, side in zip(("positive", "negative"), sides, strict=True):
                    counts[name] += bool((side > 0).any())
    return Shard(path.name, split, len(items), **counts)


def _members(item: Item, sides: tuple[Area, Area] | None) -> dict[str, bytes]:
    """What is in a shard of one image, by suffix."""
    facts: dict[str, Any] = {
        "id": item.id,
        "label": item.label,
        "split": item.split,
        "group": item.group,
        "annotated": sides is not None,
        "covers_whole_image": item.marks is not None and item.marks.covers_whole_image,
    }
    try:
        image = item.path.read_bytes()
    except OSError as error:
        raise DataError(f"{item.path}: cannot be read ({error.strerror}); copy it again") from error
    found = {item.path.suffix.lower().removeprefix("."): image, "json": json.dumps(facts).encode()}
    if sides is not None:
        positive, negative = sides
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
