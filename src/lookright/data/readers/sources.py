"""What the readers share: where annotation files are, reading json, categories, one photo per name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.layout import Photo, Photos, list_files
from lookright.errors import DataError

NO_CATEGORY = "there is no category "
"""How the problem of a category that was asked for and is not there begins."""
_BROKEN = "export it again, or give the --format that it is in"


def annotation_files(
    config: DataConfig, photos: Photos, suffix: str, usual: tuple[str, ...]
) -> tuple[Path, list[Path]]:
    """The annotation files: what the option `annotations` names (a file or a folder), else the usual ones.

    Args:
        config: `annotations` counts here
        photos: of the data folder
        suffix: .json, .xml, .csv
        usual: places below the data folder that are tried where none is named

    Returns:
        the folder that they lie in, and the files

    Raises:
        DataError: the file or folder does not exist, is a zip file, or holds no such file.
    """
    if config.annotations is not None:
        places = [config.annotations]
        if not config.annotations.exists():
            raise DataError(
                f"annotations: {config.annotations} does not exist; give a {suffix} file or a folder of them"
            )
    else:
        places = [photos.root / name for name in usual]
    for place in places:
        if place.is_file() and place.suffix.lower() == ".zip":
            raise DataError(f"annotations: {place} is packed; unpack it and give the {suffix} file in it")
        if place.is_file():
            return place.parent, [place]
        files = list_files(place, {suffix})
        if files:
            return place, files
    looked = ", ".join(map(str, places))
    raise DataError(
        f"no {suffix} file in {looked}; name the annotations of format '{config.format}' with --annotations"
    )


def read_json(path: Path) -> tuple[Any, Problem | None]:
    """Read a json file; None and a fatal problem if it cannot be read."""
    remedy = _BROKEN
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")), None
    except json.JSONDecodeError as error:
        what = f"broken json in line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        what = f"not UTF-8 text (byte {error.start})"
    except RecursionError:
        what = "json nested too deeply"
    except (OSError, ValueError) as error:  # ValueError: a number of thousands of digits
        what, remedy = f"cannot be read ({error})", "check the file"
    return None, Problem(path, what, remedy, fatal=True)


def read_xml(path: Path) -> ET.Element | Problem:
    """Read an xml file; gives a fatal problem if it cannot be read."""
    try:
        return ET.parse(path).getroot()
    except ET.ParseError as error:
        line, column = error.position
        what = f"broken xml in line {line}, column {column}: {error}"
    except (OSError, LookupError, ValueError) as error:
        what = f"cannot be read ({error})"
    return Problem(path, what, _BROKEN, fatal=True)


def one_photo(photos: Photos, names: list[str], source: Path, where: str = "") -> Photo | Problem:
    """The photo that the first fitting name means, or what is wrong.

    Args:
        photos: of the data folder
        names: most reliable first
        source: the annotation file
        where: line or entry in it, for the message
    """
    for name in names:
        found = photos.find(name, anywhere=True) if name else []
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(photo.id for photo in found[:3])
            remedy = "write the path below the data folder there, or rename the images"
            return Problem(source, f"{where}{name!r} can mean {len(found)} images: {ids}", remedy, fatal=True)
    named = " or ".join(repr(name) for name in dict.fromkeys(names) if name) or "no name"
    return Problem(source, f"{where}there is no image for {named}", "add the image, or remove its annotation")


def missing_photos(
    source: Path, absent: list[str], total: int, photos: Photos, named_by: str
) -> list[Problem]:
    """What to say of the images that one annotation file names and the data folder lacks.

    Args:
        source: the annotation file
        absent: their names
        total: how many images the file names
        photos: of the data folder
        named_by: what holds the names in the file; if none fits, that is what is wrong
    """
    if not absent:
        return []
    what = f"{len(absent)} of {total} images are not in {photos.root}, for instance {absent[0]}"
    if len(absent) == total:
        return [Problem(source, what, f"{named_by} has to fit the images", fatal=True)]
    return [Problem(source, what, "add them, or leave it: their annotations are not used")]


def size_in_pixels(height: object, width: object) -> tuple[int, int] | None:
    """The size of an image as a json file gives it: whole numbers above 0, and `true` is none.

    Example:
        >>> size_in_pixels(2, 3), size_in_pixels(2, True), size_in_pixels(0, 3)
        ((2, 3), None, None)
    """
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    if isinstance(height, bool) or isinstance(width, bool) or height < 1 or width < 1:
        return None
    return height, width


def add_marks(marks: dict[str, Marks], found: Mapping[str, Marks], file: Path) -> list[Problem]:
    """Add the marks that a file holds to those of other files; say which photos are in two of them."""
    problems = [
        Problem(
            file,
            f"{photo_id} is annotated in another {file.suffix[1:].lower()} file already",
            "keep one of the two",
            fatal=True,
        )
        for photo_id in found
        if photo_id in marks
    ]
    marks.update(found)
    return problems


class Drawn(NamedTuple):
    """What one file says of one photo."""

    names: list[str]
    """of the photo, most reliable first"""
    categories: set[str]
    shapes: Callable[[str], tuple[Shapes | None, list[Problem]]]
    """gives, for the id of the photo, what is drawn (None: nothing can be), and what is wrong"""


def one_file_each(
    photos: Photos, top: Path, files: list[Path], read: Callable[[Path], Drawn | Problem], wanted: Categories
) -> tuple[dict[str, Marks], list[Problem]]:
    """Read annotations that have a file for each photo.

    Args:
        photos: of the data folder
        top: folder of the files
        files: one for each photo
        read: reads a file
        wanted: the categories that count, which have to be there
    """
    marks: dict[str, Marks] = {}
    problems: list[Problem] = []
    present: set[str] = set()
    for file in files:
        drawn = read(file)
        if isinstance(drawn, Problem):
            problems.append(drawn)
            continue
        photo = one_photo(photos, [file.relative_to(top).with_suffix("").as_posix(), *drawn.names], file)
        if isinstance(photo, Problem):
            problems.append(photo)
            continue
        present |= drawn.categories
        shapes, more = drawn.shapes(photo.id)
        problems += more
        if shapes is not None:
            problems += add_marks(marks, {photo.id: shapes}, file)
    return marks, wanted.problems(present, top) + problems


@dataclass(frozen=True)
class Categories:
    """Which categories of a file mean 'look here', which 'not here'; those of neither are passed over."""

    positive: frozenset[str]
    """empty: all that are not negative"""
    negative: frozenset[str]

    @classmethod
    def of(cls, config: DataConfig) -> Categories:
        """The categories that the options name."""
        return cls(frozenset(config.positive_categories), frozenset(config.negative_categories))

    def sign(self, name: str) -> int:
        """1 for a positive category, -1 for a negative one, 0 for one that is passed over.

        Example:
            >>> categories = Categories(frozenset(), frozenset({"sky"}))
            >>> categories.sign("bird"), categories.sign("sky")
            (1, -1)
        """
        if name in self.negative:
            return -1
        return 1 if not self.positive or name in self.positive else 0

    def problems(self, present: set[str], source: Path) -> list[Problem]:
        """Categories that were asked for and are not there, or are asked for on both sides."""
        there = ", ".join(sorted(present)) or "none"
        problems = [
            Problem(source, f"{NO_CATEGORY}{name!r}", f"those there are: {there}", fatal=True)
            for name in sorted((self.positive | self.negative) - present)
        ]
        problems += [
            Problem(source, f"category {name!r} is both positive and negative", "name it once", fatal=True)
            for name in sorted(self.positive & self.negative)
        ]
        return problems
