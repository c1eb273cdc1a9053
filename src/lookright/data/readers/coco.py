"""COCO json: polygons, run-length masks, and keypoints or boxes where there is no segmentation."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.layout import Photo, Photos
from lookright.data.readers.sources import (
    Categories,
    add_marks,
    annotation_files,
    missing_photos,
    one_photo,
    read_json,
    size_in_pixels,
)
from lookright.data.shapes import POINT_RADIUS, RunLengths, Shape, box, polygon, scribble
from lookright.errors import DataError

_IDS = ("id", "image_id", "category_id")


def read_coco(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read COCO instances: `annotations/*.json` or `config.annotations`.

    The format: https://cocodataset.org/#format-data

    An annotation without segmentation is the discs of its labelled keypoints (`POINT_RADIUS` of the longer
    side), and without these its box.

    Images are found by `file_name`. An image is annotated if at least one annotation of a wanted category
    belongs to it: a file that lists an image without any says nothing of it.

    Raises:
        DataError: there is no json file.
    """
    categories = Categories.of(config)
    marks: dict[str, Marks] = {}
    problems: list[Problem] = []
    _, files = annotation_files(config, photos, ".json", ("annotations", "annotations.json"))
    for file in files:
        found, more = _read_file(file, photos, categories)
        problems += [*more, *add_marks(marks, found, file)]
    return marks, problems


def _read_file(file: Path, photos: Photos, categories: Categories) -> tuple[dict[str, Shapes], list[Problem]]:
    content, problem = read_json(file)
    if problem is not None:
        return {}, [problem]
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(_is_table(content.get(name)) for name in lists):
        what = f"not COCO instances: it needs the lists {', '.join(lists)}, with numbers as ids"
        return {}, [Problem(file, what, "export it as 'COCO instances'", fatal=True)]
    names = {category.get("id"): str(category.get("name")) for category in content["categories"]}
    problems = categories.problems(set(names.values()), file)
    images, more = _find_images(file, content["images"], photos)
    problems += more

    drawn: dict[Any, dict[int, list[Shape]]] = defaultdict(lambda: {1: [], -1: []})
    for annotation in content["annotations"]:
        image = images.get(annotation.get("image_id"))
        where = f"annotation {annotation.get('id')}"
        if image is None:
            continue
        if annotation.get("category_id") not in names:
            what = f"{where}: there is no category {annotation.get('category_id')!r}"
            problems.append(Problem(file, what, "add the category or remove the annotation"))
            continue
        sign = categories.sign(names[annotation["category_id"]])
        if not sign:
            continue
        try:
            shapes = shapes_of(annotation, height=image[1], width=image[2])
        except (DataError, TypeError, ValueError, KeyError, OverflowError) as error:
            problems.append(Problem(file, f"{where}: {error}", "it is left out: draw it again or delete it"))
            continue
        drawn[annotation["image_id"]][sign] += shapes
    marks = {}
    for image_id, sides in drawn.items():
        photo, height, width = images[image_id]
        source = f"{file}, image {image_id}"
        marks[photo.id] = Shapes(height, width, tuple(sides[1]), tuple(sides[-1]), source)
    return marks, problems


def _find_images(
    file: Path, entries: list[dict[str, Any]], photos: Photos
) -> tuple[dict[Any, tuple[Photo, int, int]], list[Problem]]:
    """COCO image id -> photo, height, width."""
    images: dict[Any, tuple[Photo, int, int]] = {}
    problems: list[Problem] = []
    absent: list[str] = []
    for entry in entries:
        where = f"image {entry.get('id')}: "
        size = size_in_pixels(entry.get("height"), entry.get("width"))
        photo = one_photo(photos, [str(entry.get("file_name", ""))], file, where)
        if isinstance(photo, Problem):
            if photo.fatal:
                problems.append(photo)
            else:
                absent.append(str(entry.get("file_name")))
        elif size is None:
            what = f"{where}height {entry.get('height')!r}, width {entry.get('width')!r}"
            problems.append(Problem(file, what, "write the size of the image in pixels there", fatal=True))
        else:
            images[entry.get("id")] = (photo, *size)
    return images, problems + missing_photos(file, absent, len(entries), photos, "file_name")


def shapes_of(annotation: dict[str, Any], height: int, width: int) -> list[Shape]:
    """The shapes of one annotation: its segmentation; without one, its keypoints or its box.

    Raises:
        DataError, TypeError, ValueError, KeyError, OverflowError: it is damaged.
    """
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise DataError(
                f"an RLE of size {segmentation['size']} in an image of height {height}, width {width}"
            )
        return [RunLengths.from_counts(segmentation["counts"], height, width)]
    if segmentation:
        return [polygon(zip(ring[::2], ring[1::2], strict=True), height, width) for ring in segmentation]
    keypoints = annotation.get("keypoints") or []
    triples = zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True)
    points = [(x, y) for x, y, visibility in triples if visibility > 0]  # 0: not labelled
    if points:
        diameter = 2 * POINT_RADIUS * max(height, width)
        return [scribble([point], diameter, height, width) for point in points]
    left, top, box_width, box_height = map(float, annotation["bbox"])
    return [box(left, top, left + box_width, top + box_height)]


def _is_table(value: object) -> bool:
    """Rows with ids that can be looked up."""
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(isinstance(row.get(name), int | str | None) for name in _IDS)
        for row in value
    )
