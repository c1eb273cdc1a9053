"""Where the photos of a data folder are, and what its folders say of class and split."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lookright.errors import ConfigError, DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
ARRAY_SUFFIX = ".npy"
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What folders and rows call the three usual splits, in lower case."""

_NOT_CLASSES = frozenset({"masks", "negatives", "signed", "annotators", "annotations", "attention_label"})
_LEFT_BY_SYSTEMS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})


@dataclass(frozen=True)
class Photo:
    """An image file, and what the folders around it say."""

    path: Path
    id: str
    """path below the data folder, with forward slashes"""
    key: str
    """path below the folder of photos, without the suffix: what an annotation file is called"""
    class_name: str | None
    split: str | None


class Photos:
    """The photos of a data folder, to be found by whatever name an annotation file uses.

    Args:
        root: the data folder
        photos: its images
    """

    def __init__(self, root: Path, photos: Iterable[Photo]) -> None:
        self.root = root
        self.all = tuple(photos)
        self._by_name: dict[str, list[Photo]] = {}
        for photo in self.all:
            short = f"{photo.class_name}/{photo.path.stem}" if photo.class_name else photo.path.stem
            with_suffix = {name + photo.path.suffix for name in (photo.key, short, photo.path.stem)}
            for name in {photo.id, photo.key, short, photo.path.stem} | with_suffix:
                self._by_name.setdefault(name, []).append(photo)

    def find(self, name: str, *, anywhere: bool = False) -> list[Photo]:
        """The photos that a name can mean: none, one, or several if it is ambiguous.

        Args:
            name: a path below the data folder or the folder of photos, `class/file` or `file`, with the
                suffix, without it, or with another image suffix
            anywhere: also try the end of the name, the longest first, for files that carry somebody else's
                paths
        """
        name = posix(name)
        candidates = [name]
        if anywhere:
            parts = PurePosixPath(name).parts
            candidates += ["/".join(parts[start:]) for start in range(1, len(parts))]
        for candidate in candidates:
            found = self._by_name.get(candidate) or self._by_name.get(without_image_suffix(candidate))
            if found:
                return found
        return []


def find_photos(root: Path | None) -> Photos:
    """Find the photos of a data folder.

    The photos lie in `root/images/` if there is such a folder, else in `root` itself; in it either
    `<class>/...`, or `train|val|test/<class>/...`, or files alone (split.csv then names the classes).
    Hidden files and what macOS and Windows leave behind are passed over.

    Raises:
        ConfigError: no folder was named.
        DataError: the folder does not exist or holds no image.
    """
    if root is None:
        raise ConfigError("data: no data folder was named; give the folder that holds images/<class>/")
    if not root.is_dir():
        kind = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root}: the data folder {kind}; give the folder that holds images/<class>/")
    base = root / "images" if (root / "images").is_dir() else root
    files = list_files(base, IMAGE_SUFFIXES, skip=_NOT_CLASSES if base == root else ())
    if not files:
        raise DataError(
            f"{base}: no image found ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "put them into images/<class>/, one folder per class"
        )
    parts = {file: file.relative_to(base).parts for file in files}
    tops = {part[0].lower() for part in parts.values() if len(part) > 1}
    by_split = "train" in {SPLIT_NAMES.get(top) for top in tops} and tops <= SPLIT_NAMES.keys()
    photos = []
    for file, part in parts.items():
        folders = part[:-1]
        split = SPLIT_NAMES[folders[0].lower()] if by_split and folders else None
        below = folders[1:] if by_split else folders
        photos.append(
            Photo(
                path=file,
                id=file.relative_to(root).as_posix(),
                key=file.relative_to(base).with_suffix("").as_posix(),
                class_name=below[0] if below else None,
                split=split,
            )
        )
    return Photos(root, photos)


def list_files(folder: Path, suffixes: Collection[str], skip: Collection[str] = ()) -> list[Path]:
    """All files below a folder with one of the suffixes (in any case), sorted; symbolic links are followed.

    Args:
        folder: where to look
        suffixes: in lower case, with the dot
        skip: names of folders directly in `folder` that are passed over
    """
    found = []
    visited = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        real = here.resolve()
        if real in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _LEFT_BY_SYSTEMS
            and not (here == folder and name in skip)
        )
        found += [
            here / name
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return sorted(found)


def posix(name: str) -> str:
    r"""A file name as it stands in a csv, json or xml file, with forward slashes and no leading ./

    Example:
        >>> posix(r".\images\cat\a.jpg")
        'images/cat/a.jpg'
    """
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()


def without_image_suffix(name: str) -> str:
    """Drop the suffix if it is an image's.

    Example:
        >>> without_image_suffix("cat/a.JPG"), without_image_suffix("cat/a.b")
        ('cat/a', 'cat/a.b')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
