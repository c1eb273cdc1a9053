"""LabelMe json files: polygons, rectangles, circles, masks, lines and points, one file per image."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.images import MAX_PIXELS
from lookright.data.layout import Photos
from lookright.data.readers.encoded_masks import png_mask
from lookright.data.readers.sources import (
    Categories,
    Drawn,
    annotation_files,
    one_file_each,
    read_json,
    size_in_pixels,
)
from lookright.data.shapes import (
    LINE_WIDTH,
    POINT_RADIUS,
    Patch,
    Shape,
    box,
    number,
    polygon,
    scribble,
)
from lookright.errors import DataError


def read_labelme(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read LabelMe files: beside the images, in `annotations/`, or in `config.annotations`.

    The format: https://github.com/wkentaro/labelme

    Polygon, rectangle, oriented_rectangle, circle and mask are areas. A line or linestrip is a scribble,
    `width` pixels wide if the shape has this key (labelme keeps it), else `LINE_WIDTH` of the longer side. A
    point, and each of points, is a disc: of `radius` pixels, else `POINT_RADIUS` of the longer side. An image
    is annotated if its file holds at least one shape of a wanted label.

    Raises:
        DataError: there is no json file.
    """
    categories = Categories.of(config)
    top, files = annotation_files(config, photos, ".json", ("annotations", "images", ""))
    return one_file_each(photos, top, files, partial(_read_file, categories=categories), categories)


def _read_file(file: Path, categories: Categories) -> Drawn | Problem:
    content, problem = read_json(file)
    if problem is not None:
        return problem
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        what = "not a LabelMe file: it has no list 'shapes'"
        return Problem(file, what, "remove it, or save it with labelme again")
    return Drawn(
        names=[str(content.get("imagePath") or "")],
        categories={str(shape.get("label")) for shape in content["shapes"] if isinstance(shape, dict)},
        shapes=partial(_read_shapes, file, content, categories),
    )


def _read_shapes(
    file: Path, content: dict[str, Any], categories: Categories, photo_id: str
) -> tuple[Shapes | None, list[Problem]]:
    size = size_in_pixels(content.get("imageHeight"), content.get("imageWidth"))
    if size is None or size[0] * size[1] > MAX_PIXELS:
        what = f"imageHeight {content.get('imageHeight')!r}, imageWidth {content.get('imageWidth')!r}"
        return None, [Problem(file, what, "write the size of the image in pixels there", fatal=True)]
    height, width = size
    sides: dict[int, list[Shape]] = {1: [], -1: []}
    problems = []
    for position, shape in enumerate(content["shapes"], start=1):
        try:
            sign = categories.sign(str(shape.get("label")))
            if sign:
                sides[sign] += _shapes(shape, height, width)
        except (DataError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"shape {position}: {error}"
            problems.append(Problem(file, what, "it is left out: draw it again, or delete it"))
    if not sides[1] and not sides[-1]:
        return None, problems
    return Shapes(height, width, tuple(sides[1]), tuple(sides[-1]), f"{file} ({photo_id})"), problems


def _shapes(shape: dict[str, Any], height: int, width: int) -> list[Shape]:
    kind = shape.get("shape_type") or "polygon"
    points = shape["points"]
    if kind in ("polygon", "oriented_rectangle"):
        return [polygon(points, height, width)]
    if kind in ("line", "linestrip"):
        return [scribble(points, shape.get("width") or LINE_WIDTH * max(height, width), height, width)]
    if kind in ("point", "points"):
        radius = number(shape.get("radius") or POINT_RADIUS * max(height, width))
        return [scribble([point], 2 * radius, height, width) for point in points]
    if kind not in ("rectangle", "circle", "mask"):
        raise DataError(f"a shape of type {kind!r}, which is not known")
    (x0, y0), (x1, y1) = points
    if kind == "circle":  # centre, and a point on the edge
        return [scribble([(x0, y0)], 2 * math.hypot(x1 - x0, y1 - y0), height, width)]
    if kind == "rectangle":
        return [box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))]
    pixels = png_mask(shape["mask"], height, width)
    return [Patch.from_mask(pixels, max(round(min(x0, x1)), 0), max(round(min(y0, y1)), 0))]
