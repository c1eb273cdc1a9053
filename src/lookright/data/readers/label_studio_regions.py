"""Regions of a Label Studio annotation, in percent of the image, as shapes in pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lookright.data.annotations import Problem, Shapes
from lookright.data.images import MAX_PIXELS
from lookright.data.readers.encoded_masks import brush_mask, png_mask
from lookright.data.readers.sources import Categories, size_in_pixels
from lookright.data.shapes import POINT_RADIUS, RunLengths, Shape, number, polygon, scribble
from lookright.data.turned import ellipse, turned_box
from lookright.errors import DataError

_LABELS = "labels"
_TOLD_BY = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "radiusX": "ellipse",
    "height": "rectangle",
    "x": "keypoint",
}
"""A key that only regions of one kind have, the first that fits -> that kind."""
_KINDS = frozenset(_TOLD_BY.values())


def labels_of(results: Iterable[object]) -> set[str]:
    """All labels that regions have."""
    return {label for labels in _labels(results).values() for label in labels}


def read_regions(
    results: list[Any], categories: Categories, file: Path, source: str
) -> tuple[Shapes | None, list[Problem]]:
    """The marks of one annotation; None if it holds no region of a wanted label.

    Args:
        results: the entries of its `result`
        categories: what the labels mean
        file: the export
        source: file and task, for messages
    """
    where = source.removeprefix(f"{file}, ")
    labels = _labels(results)
    drawn = {_key(result, at) for at, result in enumerate(results, start=1) if _is_drawn(result)}
    sides: dict[int, list[Shape]] = {1: [], -1: []}
    size: tuple[int, int] | None = None
    problems = []
    for position, result in enumerate(results, start=1):
        try:
            key, kind = _key(result, position), _kind(result)
            if kind == _LABELS and key not in drawn:
                kind = next((_TOLD_BY[name] for name in _TOLD_BY if name in result["value"]), kind)
            if kind is None or kind == _LABELS:
                continue
            signs = {categories.sign(label) for label in labels[key] or {""}} - {0}
            if not signs:
                continue
            if kind not in _KINDS:
                raise DataError(f"a region of type {result['type']!r}, which is not known")
            own_size = _size(result)
            size = size or own_size
            if own_size != size:
                raise DataError(f"drawn at {own_size[1]} x {own_size[0]}, others at {size[1]} x {size[0]}")
            shape = _shape(kind, result, *size)
            for sign in signs:
                sides[sign].append(shape)
        except (DataError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            told = f"no {error}" if isinstance(error, KeyError) else str(error)
            what = f"{where}, region {position}: {told}"
            problems.append(Problem(file, what, "it is left out: draw it again, or delete it"))
    if size is None or not (sides[1] or sides[-1]):
        return None, problems
    return Shapes(*size, tuple(sides[1]), tuple(sides[-1]), source), problems


def _kind(result: object) -> str | None:
    """What a result draws, known or not; `_LABELS` if it labels the region of another one; else None."""
    if not isinstance(result, dict):
        raise DataError("not a region but " + type(result).__name__)
    name = str(result.get("type", ""))
    kind = name.removesuffix(_LABELS)
    if name == _LABELS or kind in _KINDS:
        return kind or _LABELS
    return None if kind == name else kind


def _is_drawn(result: object) -> bool:
    return isinstance(result, dict) and _kind(result) in _KINDS


def _labels(results: Iterable[object]) -> dict[object, set[str]]:
    """Labels of each region: a region may have a result for its shape and others for its labels."""
    found: dict[object, set[str]] = defaultdict(set)
    for position, result in enumerate(results, start=1):
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(value, dict):
            continue
        for key, names in value.items():
            if key.endswith(_LABELS) and isinstance(names, list):
                found[_key(result, position)] |= {str(name) for name in names}
    return found


def _key(result: object, position: int) -> object:
    """The id that the results of a region share; where there is none, the position."""
    name = result.get("id") if isinstance(result, dict) else None
    return name if isinstance(name, str) else position


def _size(result: dict[str, Any]) -> tuple[int, int]:
    """(height, width) of the image that a region was drawn on."""
    height, width = result.get("original_height"), result.get("original_width")
    size = size_in_pixels(height, width)
    if size is None or size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f"original_height {height!r}, original_width {width!r}: write the size in pixels there"
        )
    if result.get("image_rotation"):
        raise DataError(f"drawn on the image turned by {result['image_rotation']} degrees")
    if result.get("item_index"):
        raise DataError(f"drawn on image {result['item_index']} of a task of several")
    return size


def _shape(kind: str, result: dict[str, Any], height: int, width: int) -> Shape:
    value = result["value"]
    if kind == "brush":
        if value.get("format") != "rle":
            raise DataError(f"a brush of format {value.get('format')!r}, which is not known")
        return RunLengths.from_mask(brush_mask(value["rle"], height, width))
    if kind == "bitmask":
        mask = png_mask(value["imageDataURL"], height, width)
        if mask.shape != (height, width):
            raise DataError(
                f"a bitmask of {mask.shape[1]} x {mask.shape[0]} in an image of {width} x {height}"
            )
        return RunLengths.from_mask(mask)

    def across(percent: object) -> float:
        return number(percent) * width / 100

    def down(percent: object) -> float:
        return number(percent) * height / 100

    if kind == "polygon":
        return polygon([(across(x), down(y)) for x, y in value["points"]], height, width)
    x, y = across(value["x"]), down(value["y"])
    degrees = value.get("rotation") or 0
    if kind == "rectangle":  # turned about its upper left corner, which is where it is after that
        edges = (x, y, x + across(value["width"]), y + down(value["height"]))
        return turned_box(edges, degrees, (x, y), height, width)
    if kind == "ellipse":  # the documentation calls (x, y) a corner; it is the centre
        radii = (across(value["radiusX"]), down(value["radiusY"]))
        return ellipse((x, y), radii, degrees, height, width)
    return scribble([(x, y)], 2 * POINT_RADIUS * max(height, width), height, width)
