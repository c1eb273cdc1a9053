"""Photos of nature and of towns: in RES's folders, or in those of Places365."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lookright.data.layout import IMAGE_SUFFIXES, SPLIT_NAMES, Photo, Photos, list_files
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import SceneConfig

CLASSES = ("nature", "urban")

CATEGORIES_TXT = "categories_places365.txt"
"""Lines such as `/m/mountain 232`"""
VAL_TXT = "places365_val.txt"
"""Lines such as `Places365_val_00000001.jpg 165`"""

_DRAWS = "fw_"  # RES's code copies its draws of training photos into fw_50_seed_0 and the like


def find_published(root: Path) -> Photos:
    """The photos of RES's folder: `train|val|test/nature|urban/`, whatever lies around that.

    Folders without a split above them (`image/nature/`, as in Saliency-Bench) leave it open. Folders fw_*,
    where RES's code copies photos to, are passed over.

    Raises:
        DataError: there is no such folder, or no photo of one class.
    """
    photos = []
    for file in _images(root):
        folders = file.relative_to(root).parts[:-1]
        named = [at for at, name in enumerate(folders) if name.lower() in CLASSES]
        if not named or any(name.startswith(_DRAWS) for name in folders):
            continue
        at = named[-1]
        split = SPLIT_NAMES.get(folders[at - 1].lower()) if at else None
        photos.append(_photo(file, root, folders[at].lower(), split))
    return _both(photos, root, "give RES's folder with train|val|test/nature|urban/, or name --images")


def find_in_places(config: SceneConfig, root: Path) -> Photos:
    """The photos of Places365 whose category is one of `config.nature` or `config.urban`.

    Photos lie in the folders of their categories (`m/mountain/`, `f/field/wild/`, also `field-wild/`), or in
    any folder and are in the lists of validation photos, `CATEGORIES_TXT` and `VAL_TXT`.

    Raises:
        ConfigError: a category is in both classes, or no photo is of it.
        DataError: there is no such folder, no photo of one class, or a list is damaged.
    """
    class_of = _classes(config)
    photos, seen = [], set()
    files, listed = _images(root), _listed(root, class_of)
    for file in files:
        category = _category(file.relative_to(root).parts[:-1], class_of) or listed.get(file.name)
        if category is not None:
            seen.add(category)
            photos.append(_photo(file, root, class_of[category], None))
    if seen and (absent := [name for name in class_of if name not in seen]):
        raise ConfigError(
            f"{class_of[absent[0]]}: {root} has no photo of the category {absent[0]!r}; name those that it "
            f"has with --nature and --urban, of yours it has {', '.join(sorted(seen))}"
        )
    remedy = (
        f"give the folder of Places365 with m/mountain/, or with val_256/, {CATEGORIES_TXT} and {VAL_TXT}"
    )
    return _both(photos, root, remedy)


def _images(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; give the one that holds the photos")
    return list_files(root, IMAGE_SUFFIXES)


def _photo(file: Path, root: Path, class_name: str, split: str | None) -> Photo:
    relative = file.relative_to(root)
    return Photo(file, relative.as_posix(), relative.with_suffix("").as_posix(), class_name, split)


def _both(photos: Sequence[Photo], root: Path, remedy: str) -> Photos:
    there = {photo.class_name for photo in photos}
    if absent := [name for name in CLASSES if name not in there]:
        raise DataError(f"{root}: no photo of {absent[0]}; {remedy}")
    return Photos(root, photos)


def _classes(config: SceneConfig) -> dict[str, str]:
    """Category -> class."""
    class_of: dict[str, str] = {}
    for class_name, names in zip(CLASSES, (config.nature, config.urban), strict=True):
        for name in map(_plain, names):
            if class_of.setdefault(name, class_name) != class_name:
                raise ConfigError(f"{class_name}: {name!r} is in --nature already; name it once")
    return class_of


def _plain(category: str) -> str:
    """A category, however it is written: field/wild, field-wild, field_wild."""
    return re.sub(r"[^a-z0-9]+", "/", category.lower()).strip("/")


def _category(folders: Sequence[str], class_of: Mapping[str, str]) -> str | None:
    """The wanted category that the last folders name: a category may be two folders deep."""
    names = (_plain("/".join(folders[at:])) for at in range(len(folders)))
    return next((name for name in names if name in class_of), None)


def _listed(root: Path, class_of: Mapping[str, str]) -> dict[str, str]:
    """File name -> wanted category, for the validation photos of Places365."""
    lists = {file.name: file for file in list_files(root, {".txt"})}
    if VAL_TXT not in lists:
        return {}
    if CATEGORIES_TXT not in lists:
        raise DataError(f"{root}: holds {VAL_TXT} without {CATEGORIES_TXT}; add it from the same archive")
    categories = {
        number: _category(name.split("/"), class_of) for name, number in _pairs(lists[CATEGORIES_TXT])
    }
    found = ((name, categories.get(number)) for name, number in _pairs(lists[VAL_TXT]))
    return {name: category for name, category in found if category is not None}


def _pairs(file: Path) -> list[tuple[str, str]]:
    """Name and number of each line."""
    pairs = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); take it as published") from error
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2 or not parts[1].isdigit():
            raise DataError(f"{file}: line {number} is {line[:60]!r}, need a name and a number")
        pairs.append((parts[0], parts[1]))
    return pairs
