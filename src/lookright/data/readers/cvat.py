"""CVAT for images 1.1: boxes, polygons, polylines, points, ellipses, masks, skeletons; one file per task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.images import MAX_PIXELS
from lookright.data.layout import Photos
from lookright.data.readers.sources import (
    Categories,
    add_marks,
    annotation_files,
    missing_photos,
    one_photo,
    read_xml,
)
from lookright.data.shapes import LINE_WIDTH, POINT_RADIUS, Patch, Shape, number, polygon, scribble
from lookright.data.turned import ellipse, turned_box
from lookright.errors import DataError

_NO_SHAPES = ("tag", "attribute")
_EXPORT = "export the task as 'CVAT for images 1.1'"


def read_cvat(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read CVAT for images: `annotations.xml`, `annotations/*.xml` or `config.annotations`.

    The format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/

    Box, polygon, ellipse and mask are areas. A polyline is a scribble, `LINE_WIDTH` of the longer side wide;
    a point, also of a skeleton, is a disc of `POINT_RADIUS`; what is `outside` is passed over. A shape on top
    (`z_order`) hides nothing. An image is annotated if it holds at least one shape of a wanted label.

    Raises:
        DataError: there is no xml file.
    """
    categories = Categories.of(config)
    marks: dict[str, Marks] = {}
    problems: list[Problem] = []
    present: set[str] = set()
    top, files = annotation_files(config, photos, ".xml", ("annotations.xml", "annotations"))
    for file in files:
        root = _read_file(file)
        if isinstance(root, Problem):
            problems.append(root)
            continue
        present |= {(node.text or "").strip() for node in root.iterfind("meta//labels/label/name")}
        present |= {node.get("label", "") for image in root.iterfind("image") for node in image}
        found, more = _read_images(file, root, photos, categories)
        problems += [*more, *add_marks(marks, found, file)]
    return marks, categories.problems(present - {""}, top) + problems


def _read_file(file: Path) -> ET.Element | Problem:
    """Read a file, or say that it is not in the format of images."""
    root = read_xml(file)
    if isinstance(root, Problem):
        return root
    if root.find("track") is not None:
        what = "tracks of a video, not shapes of images"
        return Problem(file, what, f"{_EXPORT}, which writes the shapes of every frame", fatal=True)
    if root.tag != "annotations" or root.find("image") is None:
        what = f"not CVAT for images: <{root.tag}> without any <image>"
        return Problem(file, what, _EXPORT, fatal=True)
    return root


def _read_images(
    file: Path, root: ET.Element, photos: Photos, categories: Categories
) -> tuple[dict[str, Shapes], list[Problem]]:
    marks: dict[str, Shapes] = {}
    problems: list[Problem] = []
    absent: list[str] = []
    images = root.findall("image")
    for node in images:
        name = node.get("name", "")
        where = f"image {name or node.get('id')}: "
        photo = one_photo(photos, [name], file, where)
        if isinstance(photo, Problem):
            if photo.fatal:
                problems.append(photo)
            else:
                absent.append(name)
            continue
        shapes, more = _read_image(file, node, where, categories)
        problems += more
        if shapes is None:
            continue
        if photo.id in marks:
            what = f"{where}{photo.id} has another image entry already"
            problems.append(Problem(file, what, "keep one of the two", fatal=True))
        marks[photo.id] = shapes
    return marks, problems + missing_photos(file, absent, len(images), photos, "the name of each image")


def _read_image(
    file: Path, image: ET.Element, where: str, categories: Categories
) -> tuple[Shapes | None, list[Problem]]:
    try:
        height, width = (int(image.get(side, "")) for side in ("height", "width"))
        if height < 1 or width < 1 or height * width > MAX_PIXELS:
            raise ValueError("no size")
    except ValueError:
        what = f"{where}height {image.get('height')!r}, width {image.get('width')!r}"
        return None, [Problem(file, what, "write the size of the image in pixels there", fatal=True)]
    sides: dict[int, list[Shape]] = {1: [], -1: []}
    problems = []
    for position, node in enumerate(image, start=1):
        sign = 0 if node.tag in _NO_SHAPES else categories.sign(node.get("label", ""))
        if not sign:
            continue
        try:
            sides[sign] += list(_shapes(node, height, width))
        except (DataError, ValueError, OverflowError) as error:
            what = f"{where}shape {position}: {error}"
            problems.append(Problem(file, what, "it is left out: draw it again or delete it"))
    if not sides[1] and not sides[-1]:
        return None, problems
    source = f"{file}, {where.removesuffix(': ')}"
    return Shapes(height, width, tuple(sides[1]), tuple(sides[-1]), source), problems


def _shapes(node: ET.Element, height: int, width: int) -> Iterator[Shape]:
    if node.get("outside") == "1":
        return
    if node.tag == "skeleton":
        for part in node:
            if part.tag not in _NO_SHAPES:
                yield from _shapes(part, height, width)
    elif node.tag == "points":
        for point in _points(node):
            yield scribble([point], 2 * POINT_RADIUS * max(height, width), height, width)
    elif node.tag == "polygon":
        yield polygon(_points(node), height, width)
    elif node.tag == "polyline":
        yield scribble(_points(node), LINE_WIDTH * max(height, width), height, width)
    elif node.tag == "box":  # turned about its centre
        left, top, right, bottom = (_number(node, edge) for edge in ("xtl", "ytl", "xbr", "ybr"))
        centre = (left + right) / 2, (top + bottom) / 2
        yield turned_box((left, top, right, bottom), node.get("rotation", 0), centre, height, width)
    elif node.tag == "ellipse":
        centre = _number(node, "cx"), _number(node, "cy")
        radii = _number(node, "rx"), _number(node, "ry")
        yield ellipse(centre, radii, node.get("rotation", 0), height, width)
    elif node.tag == "mask":
        yield _mask(node, height, width)
    else:
        raise DataError(f"a {node.tag}, which is not known")


def _mask(node: ET.Element, height: int, width: int) -> Patch:
    """Run lengths of a part of the image, row by row; the first run is unmarked."""
    left, top, across, down = (int(node.get(name, "")) for name in ("left", "top", "width", "height"))
    if not (0 < across <= width and 0 < down <= height):
        raise DataError(f"a mask of {across} x {down} in an image of {width} x {height}")
    counts = [int(run) for run in node.get("rle", "").split(",")]
    if min(counts) < 0 or sum(counts) != across * down:
        raise DataError(f"mask runs that do not add up to {across} x {down} pixels")
    marked = np.arange(len(counts)) % 2 == 1
    return Patch.from_mask(np.repeat(marked, counts).reshape(down, across), left, top)


def _points(node: ET.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in node.get("points", "").split(";") if pair.strip())
    return [(number(x), number(y)) for x, y in pairs]


def _number(node: ET.Element, name: str) -> float:
    return number(node.get(name, "nothing"))
