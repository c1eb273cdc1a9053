"""Nature and urban scenes of Places365, with RES's annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqdm.auto import tqdm

from lookright.config import DataConfig
from lookright.data.annotations import Item, Marks
from lookright.data.layout import Photo, Photos, list_files
from lookright.data.prepare.download import Archive, fetch, untar
from lookright.data.prepare.output import Prepared, SetWriter, check_out, made_with, writing
from lookright.data.prepare.photos import open_marked, own_name
from lookright.data.prepare.places import CLASSES, VAL_TXT, find_in_places, find_published
from lookright.data.readers.res import read_res
from lookright.data.splits import make_splits, shuffle_key
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import SceneConfig

RES_URL = "https://drive.google.com/file/d/1ULF6UAcg9Yvy3fa50dV8H4I9ZJFAW-SK/view"
"""Photos and label files, as the README of github.com/YuyangGao/RES links them. Google Drive answers with a
page, not the file, and no checksum is published: it is for a person to fetch."""

ARCHIVES = {
    "val_256": Archive(
        "http://data.csail.mit.edu/places/places365/val_256.tar",
        525_158_400,
        "e27b17d8d44f4af9a78502beb927f808",
    ),
    VAL_TXT: Archive(
        "http://data.csail.mit.edu/places/places365/filelist_places365-standard.tar",
        67_498_496,
        "35a0585fee1fa656440f3ab298f8479c",
    ),
}
"""What they hold -> archive. Addresses and md5 as in torchvision.datasets.Places365, sizes as in
github.com/datasets-mila/datasets--places365."""

_LABELS = "attention_label"


def prepare_scene(config: SceneConfig) -> Prepared:
    """Bring RES's scene data into the layout read here, or its label files together with photos of Places365.

    Gao et al., "RES" (KDD 2022); Zhou et al., "Places" (TPAMI 2018). RES's folder holds
    `train|val|test/nature|urban/` and `attention_label/*.csv` (`read_res`); photos without a row there stay
    without annotation, and the splits are RES's. With `images`, the photos are found in Places365
    (`find_in_places`), a category belonging to nature or urban as `nature` and `urban` say, and splits of
    60/20/20 are made. The column `source` of split.csv is the path of the photo.

    Raises:
        ConfigError: a folder was not named, an option cannot work, or `out` is in use.
        DataError: a file is missing or damaged, no row names a photo, or there is no network.
    """
    if config.source is None:
        raise ConfigError(
            f"from: missing; give RES's folder with {_LABELS}/ in it, downloaded by hand from {RES_URL}"
        )
    if config.per_class is not None and config.per_class < 1:
        raise ConfigError(f"per_class: got {config.per_class}, need 1 or more")
    if config.per_class is not None and config.images is None:
        raise ConfigError(
            "per_class: RES's splits stay whole; leave it out, and give lookright train --train-per-class"
        )
    check_out(config)
    labels = _labels(config.source)
    _download(config)
    photos = find_published(config.source) if config.images is None else find_in_places(config, config.images)
    marks, lost = _read(labels, photos)
    items = _items(config, photos, marks)
    with writing(config) as writer:
        for item in tqdm(items, "photos", unit="image", disable=None):
            _write(writer, item)
        if lost:
            writer.remark(f"{len(lost)} rows of {labels} left out, for instance {lost[0]}")
        return writer.finish(made_with("scene", config))


def _labels(source: Path) -> Path:
    for folder in (source / _LABELS, source):
        if list_files(folder, {".csv"}):
            return folder
    raise DataError(
        f"{source}: no csv file there, nor in {_LABELS}/; download RES's archive by hand from {RES_URL} "
        "and unpack it there"
    )


def _download(config: SceneConfig) -> None:
    if not config.download:
        return
    if config.images is None:
        raise ConfigError("images: missing; name the folder to download the photos of Places365 into")
    for content, archive in ARCHIVES.items():
        if not (config.images / content).exists():
            untar(fetch(archive, config.images), config.images)


def _read(labels: Path, photos: Photos) -> tuple[dict[str, Marks], list[str]]:
    """Marks by photo, and the rows that do not fit."""
    marks, problems = read_res(photos, DataConfig(annotations=labels, format="res"))
    if fatal := [problem for problem in problems if problem.fatal]:
        raise DataError(str(fatal[0]))
    if not marks:
        why = f": {problems[0]}" if problems else "; rows count whose img_check is 'good'"
        raise DataError(f"{labels}: no row annotates a photo in {photos.root}{why}")
    return marks, [str(problem) for problem in problems]


def _items(config: SceneConfig, photos: Photos, marks: Mapping[str, Marks]) -> list[Item]:
    chosen: list[Photo] = []
    for name in CLASSES:
        of_class = [photo for photo in photos.all if photo.class_name == name]
        # Annotated ones first
        of_class.sort(key=lambda photo: (photo.id not in marks, shuffle_key(config.seed, photo.id)))
        if config.per_class is not None and config.per_class > len(of_class):
            raise ConfigError(
                f"per_class: got {config.per_class}; {photos.root} has {len(of_class)} photos of {name}"
            )
        chosen += of_class[: config.per_class]
    without = {photo.id: str(photo.class_name) for photo in chosen if photo.split is None}
    made = make_splits(without, seed=config.seed)
    items = [
        Item(
            photo.id,
            photo.path,
            CLASSES.index(str(photo.class_name)),
            photo.split or made[photo.id],
            marks=marks.get(photo.id),
        )
        for photo in chosen
    ]
    return sorted(items, key=lambda item: item.id)


def _write(writer: SetWriter, item: Item) -> None:
    class_name = CLASSES[item.label]
    marked = open_marked(item) if item.annotated else None
    writer.add(
        item.path,
        own_name(item, class_name),
        class_name=class_name,
        split=item.split,
        positive=None if marked is None else marked.positive,
        negative=None if marked is None else marked.negative,
        origin={"source": item.id},
    )
