"""Photos with a stamped marker that tells the class in training and lies in the test."""

from __future__ import annotations

import colorsys
import math
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookright.data.annotations import AnnotationSet, Item
from lookright.data.prepare.output import Prepared, check_out, made_with, writing
from lookright.data.prepare.photos import (
    MarkedPhoto,
    free_corners,
    generator_of,
    open_marked,
    own_name,
    read_source,
)
from lookright.data.prepare.quotas import by_class, check_correlation, share_evenly, share_out
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import DecoyConfig

MAX_COLOURS = 12
"""Classes whose patches can be told apart by hue."""

Corners = tuple[tuple[float, float], ...]
Stamp = Callable[[int], Image.Image]
"""side in pixels -> RGBA"""


def _star(points: int, inner: float, turn: float = 0.0) -> Corners:
    """Corners of a star in the unit square; `inner` 1 makes it a regular polygon of 2 `points` sides."""
    angles = [math.pi * (i / points + turn) for i in range(2 * points)]
    return tuple(
        (0.5 + 0.45 * r * math.sin(angle), 0.5 - 0.45 * r * math.cos(angle))
        for angle, r in zip(angles, (1.0, inner) * points, strict=True)
    )


GLYPHS: tuple[Corners, ...] = (
    _star(16, 1.0),
    ((0.1, 0.1), (0.9, 0.9), (0.1, 0.9), (0.9, 0.1)),
    _star(4, 0.25),
    ((0.1, 0.4), (0.9, 0.4), (0.9, 0.6), (0.1, 0.6)),
    ((0.5, 0.1), (0.9, 0.9), (0.1, 0.9)),
    ((0.4, 0.1), (0.6, 0.1), (0.6, 0.9), (0.4, 0.9)),
    ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)),
    _star(4, 0.25, 0.25),
)
"""Disc, hourglass, star, bar, triangle, pole, funnel, turned star"""

_SMALLEST = 3
_DRAWN_LARGER = 8  # glyphs are drawn large and shrunk, for smooth edges


def prepare_decoy(config: DecoyConfig) -> Prepared:
    """Stamp a marker on each photo of a data set: a shortcut that holds in training alone.

    After DecoyMNIST (Ross, Hughes and Doshi-Velez, "Right for the Right Reasons", IJCAI 2017), on photos.
    Each class has its own marker, a colour or a shape. In train the share `correlation` of the images of a
    class have its marker, the others those of the other classes, evenly. In every further split that is not
    val, each class has every marker equally often (`random`: the marker tells nothing, and all combinations
    are there), or every marker but its own (`inverted`: with two classes the marker tells the wrong one).
    val is drawn like train, or like the test (`config.val`). Counts are exact to rounding. The column
    `group` of split.csv is class/marker, where a marker has the name of the class that it stands for.

    The marker lies in a random corner, or at a random place, never on an annotation (positive or negative).
    Images without annotation are stamped anywhere. What is drawn for an image depends on the seed and its
    path alone, and the share that it belongs to on those of its class and split.

    Raises:
        ConfigError: an option that cannot work; more classes than markers; `out` is in use.
        DataError: a set without masks, an image that cannot be read, or a group of the test without images.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data.toy import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digits = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=10
        ...     )
        ...     decoy = prepare_decoy(DecoyConfig(source=digits, out=Path(folder, "decoy"), size=0.1))
        ...     decoy.groups["train"]["3/3"], decoy.groups["test"]["3/7"]
        (1, 1)
    """
    _check(config)
    check_out(config)
    found = read_source(config)
    stamps = [_stamp(config.marker, i, len(found.classes)) for i in range(len(found.classes))]
    if not any(item.annotated for item in found.items):
        raise DataError(f"from: {found.root} has no annotations; a decoy needs to know where not to stamp")
    told = _markers(config, found)
    left_out: list[Item] = []
    with writing(config) as writer:
        for item in found.items:
            class_name, photo = found.classes[item.label], open_marked(item)
            place = _place(config, photo, generator_of(config.seed, "place", item.id))
            if place is None:
                left_out.append(item)
                continue
            marker = _paste(photo.image, stamps[told[item.id]], place)
            negative = photo.negative
            if config.mark_negative and negative is not None:
                negative = np.maximum(negative, marker.astype(np.float32))
            writer.add(
                photo.image,
                own_name(item, class_name),
                class_name=class_name,
                split=item.split,
                group=f"{class_name}/{found.classes[told[item.id]]}",
                positive=photo.positive,
                negative=negative,
                origin={"source": item.id},
            )
        _check_groups(config, found, (row["group"] for row in writer.rows if row["split"] == "test"))
        if left_out:
            writer.remark(
                f"{len(left_out)} images left out: their annotation leaves no {config.position} free for the "
                f"marker, for instance {left_out[0].id}"
            )
        return writer.finish(made_with("decoy", config))


def _check(config: DecoyConfig) -> None:
    check_correlation(config.correlation)
    if not 0 < config.size <= 0.5:
        raise ConfigError(f"size: got {config.size}, need a share of the image's side above 0, at most 0.5")


def _markers(config: DecoyConfig, found: AnnotationSet) -> dict[str, int]:
    """Id -> the class whose marker the image gets."""
    kinds = len(found.classes)
    told: dict[str, int] = {}
    for split in found.splits:
        like_train = split == "train" or (split == "val" and config.val == "train")
        for label, items in enumerate(by_class(found.split(split).items, kinds)):
            ids = [item.id for item in items]
            if like_train:
                told |= share_out(ids, label, kinds, config.correlation, seed=config.seed)
            elif config.test == "inverted":
                told |= share_out(ids, label, kinds, 0.0, seed=config.seed)
            else:
                told |= share_evenly(ids, label, kinds, seed=config.seed)
    return told


def _check_groups(config: DecoyConfig, found: AnnotationSet, there: Iterable[str]) -> None:
    """Worst-group accuracy of the test needs an image of each group."""
    counts = Counter(there)
    for name in found.classes:
        for told in found.classes:
            if not counts[f"{name}/{told}"] and not (config.test == "inverted" and name == told):
                raise DataError(
                    f"from: {found.root} has too few images of {name!r} in split 'test' for one with each of "
                    f"the {len(found.classes)} markers; add images, or take fewer classes"
                )


def _place(
    config: DecoyConfig, photo: MarkedPhoto, generator: np.random.Generator
) -> tuple[int, int, int] | None:
    """Row, column and side of the marker in pixels; None if the annotation leaves no room."""
    width, height = photo.image.size
    side = max(_SMALLEST, round(config.size * min(width, height)))
    places = free_corners(photo.marked, side)
    if config.position == "corner":
        at_edge = np.isin(places[:, 0], (0, height - side)) & np.isin(places[:, 1], (0, width - side))
        places = places[at_edge]
    if not len(places):
        return None
    row, column = places[generator.integers(len(places))]
    return int(row), int(column), side


def _paste(image: Image.Image, stamp: Stamp, place: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Put a marker on an image; gives (H, W), where it lies."""
    row, column, side = place
    drawn = stamp(side)
    image.paste(drawn, (column, row), drawn)
    covered = np.zeros(image.size[::-1], dtype=bool)
    covered[row : row + side, column : column + side] = np.asarray(drawn)[..., 3] > 0
    return covered


def _stamp(kind: str, label: int, classes: int) -> Stamp:
    """The marker of a class, as a function of its side in pixels."""
    most = MAX_COLOURS if kind == "patch" else len(GLYPHS)
    if classes > most:
        raise ConfigError(
            f"marker: {classes} classes, and there are {most} kinds of {kind}; take fewer classes"
        )
    if kind == "glyph":
        return partial(_glyph, GLYPHS[label])
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(label / classes, 1.0, 1.0))
    return partial(_patch, (red, green, blue, 255))


def _patch(colour: tuple[int, int, int, int], side: int) -> Image.Image:
    return Image.new("RGBA", (side, side), colour)


def _glyph(corners: Corners, side: int) -> Image.Image:
    """A white shape on a black square, so that it shows on any photo."""
    large = Image.new("RGB", (side * _DRAWN_LARGER,) * 2)
    scale = large.width
    ImageDraw.Draw(large).polygon([(x * scale, y * scale) for x, y in corners], fill="white")
    return large.resize((side, side), Image.Resampling.BOX).convert("RGBA")
