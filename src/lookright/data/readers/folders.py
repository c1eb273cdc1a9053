"""Folders of mask files: masks/ (positive), negatives/, or signed/ (both in one grey file)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from lookright.config import DataConfig
from lookright.data.annotations import Marks, MaskFiles, Problem, SignedMask
from lookright.data.layout import ARRAY_SUFFIX, IMAGE_SUFFIXES, Photos, list_files
from lookright.errors import DataError

POSITIVE, NEGATIVE, SIGNED = KINDS = "masks", "negatives", "signed"

_SUFFIXES = IMAGE_SUFFIXES | {ARRAY_SUFFIX}


def read_folders(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Find the mask files of every photo: `masks/<class>/<name>.png` and likewise `negatives/`, `signed/`.

    The three folders lie in the data folder, or in `config.annotations`; a folder there that holds none of
    the three is taken for a folder of positive masks. A mask is called like its photo, with or without the
    photo's suffix (a.png or a.jpg.png for a.jpg); it is an image or a NumPy array (.npy). An existing mask
    without marks counts as annotated.

    Raises:
        DataError: `config.annotations` does not exist.
    """
    return _read_marks(photos, _kinds(photos, config))


def read_class_folders(
    photos: Photos, classes: tuple[str, ...], config: DataConfig
) -> tuple[dict[tuple[str, int], Marks], list[Problem]]:
    """Find the mask files of every photo and class, for images of several labels.

    `masks/<class>/<name>.png`, where <class> is what they mark; <name> is the photo's path below `images/`.
    Otherwise as `read_folders`.

    Returns:
        marks by photo id and label, and the problems

    Raises:
        DataError: `config.annotations` does not exist.
    """
    kinds = _kinds(photos, config)
    marks: dict[tuple[str, int], Marks] = {}
    problems: list[Problem] = []
    for label, class_name in enumerate(classes):
        found, more = _read_marks(
            photos,
            {kind: folder / class_name for kind, folder in kinds.items() if (folder / class_name).is_dir()},
        )
        marks.update({(photo_id, label): of_class for photo_id, of_class in found.items()})
        problems += more
    for folder in kinds.values():
        tops = {file.relative_to(folder).parts[0] for file in list_files(folder, _SUFFIXES)}
        for top in sorted(tops.difference(classes)):
            remedy = f"put masks into {folder.name}/<class>/; the classes are: {', '.join(classes) or 'none'}"
            problems.append(Problem(folder / top, "masks of no class of labels.csv: left out", remedy))
    return marks, problems


def _kinds(photos: Photos, config: DataConfig) -> dict[str, Path]:
    base = config.annotations or photos.root
    if not base.is_dir():
        raise DataError(
            f"annotations: {base} is not a folder; give the one that holds {POSITIVE}/ or mask files"
        )
    kinds = {kind: base / kind for kind in KINDS if (base / kind).is_dir()}
    return {POSITIVE: base} if config.annotations is not None and not kinds else kinds


def _read_marks(photos: Photos, kinds: dict[str, Path]) -> tuple[dict[str, Marks], list[Problem]]:
    files: dict[str, dict[str, Path]] = defaultdict(dict)  # photo id -> kind -> file
    problems: list[Problem] = []
    for kind, folder in kinds.items():
        for file in list_files(folder, _SUFFIXES):
            name = file.relative_to(folder).with_suffix("").as_posix()
            found = photos.find(name)
            if not found:
                remedy = f"add the image or remove the mask; it is looked for as {name} with an image suffix"
                problems.append(Problem(file, "a mask without image", remedy))
            elif len(found) > 1:
                what = f"a mask that can belong to {len(found)} images: {found[0].id}, {found[1].id}"
                remedy = f"put it into {kind}/ like the images, or name it {found[0].path.name}.png"
                problems.append(Problem(file, what, remedy, fatal=True))
            elif kind in files[found[0].id]:
                what = f"a second mask of {found[0].id} beside {files[found[0].id][kind].name}"
                problems.append(Problem(file, what, "keep one of the two", fatal=True))
            else:
                files[found[0].id][kind] = file

    marks: dict[str, Marks] = {}
    for photo_id, by_kind in files.items():
        if SIGNED not in by_kind:
            marks[photo_id] = MaskFiles(by_kind.get(POSITIVE), by_kind.get(NEGATIVE))
        elif len(by_kind) == 1:
            marks[photo_id] = SignedMask(by_kind[SIGNED])
        else:
            what = f"{photo_id} has a file in {SIGNED}/ and one in {POSITIVE}/ or {NEGATIVE}/"
            problems.append(Problem(by_kind[SIGNED], what, "keep one way of marking", fatal=True))
    return marks, problems
