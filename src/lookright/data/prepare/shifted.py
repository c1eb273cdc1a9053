"""Cut-out objects on backgrounds that tell the class in training and not in the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lookright.config import DataConfig
from lookright.data.annotations import AnnotationSet, Area, Item
from lookright.data.prepare.output import Prepared, SetWriter, check_out, made_with, writing
from lookright.data.prepare.photos import MarkedPhoto, free_corners, open_marked, own_name, read_source
from lookright.data.prepare.quotas import by_class, check_correlation, share_evenly, share_out
from lookright.data.splits import shuffle_key
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import ShiftedConfig

_SMALLEST_PART = 0.25  # of the shorter side: less of a photo is no background


def prepare_shifted(config: ShiftedConfig) -> Prepared:
    """Paste marked objects of one data set on the photos of another, with a shortcut in training alone.

    After Waterbirds (Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020).
    Class i of the objects goes with class i of the backgrounds. In train the share `correlation` of the
    images of a class have its own background, the others those of the other classes, evenly; in val and
    test each class has every background equally often. Counts are exact to rounding. A background is one of
    the same split as the object; each photo is used once before any is used again. The column `group` of
    split.csv is class/background.

    As there, the image has the size of the object's photo, the background is scaled and cut to fit (in the
    middle), and the object stays where it was. With `object_size` it is scaled, so that its longer side is
    this share of the image's side, and moved no farther than it has to be to lie in the image. What is cut
    out is all that is marked positive, and that is the annotation of the new image.

    Raises:
        ConfigError: an option that cannot work, classes that do not pair, or `out` is in use.
        DataError: objects without masks, a split that the backgrounds lack, or a group without images.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data.toy import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digits = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=4, per_class_val=2, per_class_test=2
        ...     )
        ...     shifted = prepare_shifted(
        ...         ShiftedConfig(
        ...             source=digits,
        ...             background=digits,
        ...             out=Path(folder, "shifted"),
        ...             foreground_classes=["1", "7"],
        ...             background_classes=["3", "8"],
        ...             correlation=0.75,
        ...         )
        ...     )
        ...     shifted.groups["train"], shifted.groups["test"]
        ({'1/3': 3, '1/8': 1, '7/3': 1, '7/8': 3}, {'1/3': 1, '1/8': 1, '7/3': 1, '7/8': 1})
    """
    check_correlation(config.correlation)
    if config.object_size is not None and not 0 < config.object_size <= 1:
        raise ConfigError(f"object_size: got {config.object_size}, need a share above 0, at most 1")
    check_out(config)
    objects = _chosen(read_source(config), config.foreground_classes, "foreground_classes")
    # How annotations are written is said of the objects; backgrounds are read in the plain layout.
    plain = replace(config, **asdict(DataConfig()))
    if config.background is None:
        raise ConfigError("background: missing; give the data folder whose classes are the backgrounds")
    grounds = _chosen(
        read_source(plain, config.background, "background"), config.background_classes, "background_classes"
    )
    kinds = len(objects.classes)
    if kinds != len(grounds.classes):
        raise ConfigError(
            f"background_classes: {kinds} classes of objects ({', '.join(objects.classes)}) and "
            f"{len(grounds.classes)} of backgrounds ({', '.join(grounds.classes)}); name as many of each "
            "with --foreground-classes and --background-classes"
        )
    with writing(config) as writer:
        without_object, without_room = 0, 0
        for split in objects.splits:
            items = objects.split(split).items
            usable = [item for item in items if _has_object(item)]
            without_object += len(items) - len(usable)
            pools = _pools(config, grounds, split)
            told = _told(config, split, usable, objects, grounds)
            for item in sorted(usable, key=lambda item: shuffle_key(config.seed, item.id)):
                _write(writer, config, item, pools[told[item.id]], objects, grounds.classes[told[item.id]])
            without_room += sum(pool.without_room for pool in pools)
        if without_object:
            writer.remark(f"{without_object} photos of objects left out: nothing is marked to cut out")
        if without_room:
            writer.remark(
                f"{without_room} backgrounds left out: no large part of them is known to be unmarked"
            )
        writer.rows.sort(key=lambda row: row["file"])
        return writer.finish(made_with("shifted", config))


def _chosen(found: AnnotationSet, names: Sequence[str], option: str) -> AnnotationSet:
    """The set with these classes alone, in this order; all of them if none are named."""
    if not names:
        return found
    if missing := [name for name in names if name not in found.classes]:
        raise ConfigError(
            f"{option}: {found.root} has no class {missing[0]!r}; it has {', '.join(found.classes)}"
        )
    if len(set(names)) < max(2, len(names)):
        raise ConfigError(f"{option}: got {', '.join(names)}; name two classes or more, each once")
    label_of = {found.classes.index(name): label for label, name in enumerate(names)}
    items = tuple(replace(item, label=label_of[item.label]) for item in found.items if item.label in label_of)
    return replace(found, classes=tuple(names), items=items)


def _has_object(item: Item) -> bool:
    return item.marks is not None and bool((item.marks.render() > 0).any())


def _told(
    config: ShiftedConfig, split: str, usable: Sequence[Item], objects: AnnotationSet, grounds: AnnotationSet
) -> dict[str, int]:
    """Id of an object's photo -> the class of its background."""
    kinds = len(objects.classes)
    told: dict[str, int] = {}
    for label, items in enumerate(by_class(usable, kinds)):
        ids = [item.id for item in items]
        if split == "train":
            told |= share_out(ids, label, kinds, config.correlation, seed=config.seed)
        else:
            told |= share_evenly(ids, label, kinds, seed=config.seed)
        if len(ids) < (1 if split == "train" else kinds):
            raise DataError(
                f"from: {objects.root} has {len(ids)} marked images of {objects.classes[label]!r} in split "
                f"{split!r}, too few for one on each background ({', '.join(grounds.classes)}); add images, "
                "or take fewer classes"
            )
    return told


class _Pool:
    """The backgrounds of one class and split, in an order of their own; each once before any again."""

    def __init__(self, config: ShiftedConfig, items: Sequence[Item]) -> None:
        self._part = config.background_part
        self._waiting = deque(sorted(items, key=lambda item: shuffle_key(config.seed, item.id)))
        self.without_room = 0

    def take(self) -> tuple[Image.Image, str] | None:
        """The next background and its id; None if no photo has a part that can be used."""
        while self._waiting:
            item = self._waiting.popleft()
            ground = _ground(item, self._part)
            if ground is None:
                self.without_room += 1
                continue
            self._waiting.append(item)
            return ground, item.id
        return None


def _pools(config: ShiftedConfig, grounds: AnnotationSet, split: str) -> list[_Pool]:
    return [_Pool(config, items) for items in by_class(grounds.split(split).items, len(grounds.classes))]


def _ground(item: Item, part: str) -> Image.Image | None:
    photo = open_marked(item)
    if part == "whole":
        return photo.image
    if photo.positive is None:
        return None
    box = largest_unmarked_square(photo.marked)
    if box is None or box[2] - box[0] < _SMALLEST_PART * min(photo.image.size):
        return None
    return photo.image.crop(box)


def largest_unmarked_square(marked: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """The largest square without a mark, the first one from the top; None if everything is marked.

    Args:
        marked: (H, W)

    Returns:
        left, top, right, bottom

    Example:
        >>> largest_unmarked_square(np.array([[1, 0, 0, 1], [0, 0, 0, 1]], dtype=bool))
        (1, 0, 3, 2)
    """
    best, too_large = 0, min(marked.shape) + 1
    while too_large - best > 1:  # a smaller square fits wherever a larger one does
        side = (best + too_large) // 2
        if len(free_corners(marked, side)):
            best = side
        else:
            too_large = side
    if not best:
        return None
    top, left = map(int, free_corners(marked, best)[0])
    return left, top, left + best, top + best


def _write(
    writer: SetWriter,
    config: ShiftedConfig,
    item: Item,
    pool: _Pool,
    objects: AnnotationSet,
    ground_class: str,
) -> None:
    taken = pool.take()
    if taken is None:
        raise DataError(
            f"background: {config.background} has no image of {ground_class!r} in split {item.split!r} that "
            "can be used; add images (with --background-part unmarked: annotated ones with room beside)"
        )
    ground, ground_id = taken
    photo = open_marked(item)
    image, mask = paste_object(photo, ground, config.object_size)
    class_name = objects.classes[item.label]
    writer.add(
        image,
        own_name(item, class_name),
        class_name=class_name,
        split=item.split,
        group=f"{class_name}/{ground_class}",
        positive=mask,
        origin={"foreground": item.id, "background": ground_id},
    )


def paste_object(
    photo: MarkedPhoto, ground: Image.Image, object_size: float | None = None
) -> tuple[Image.Image, Area]:
    """Cut out what is marked positive on a photo and paste it on a background.

    Args:
        photo: with a positive mark
        ground: scaled and cut to the size of the photo
        object_size: the object's box, as a share of the width or height (whichever is more); None: as it is

    Returns:
        the image, and the mask of the object (H, W), 0 or 1
    """
    width, height = photo.image.size
    positive = np.zeros((height, width), dtype=bool) if photo.positive is None else photo.positive > 0
    cut = photo.image.convert("RGBA")
    cut.putalpha(Image.fromarray(positive.astype(np.uint8) * 255))
    left, top = 0, 0
    if object_size is not None and (box := cut.getbbox()) is not None:
        scale = object_size / max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
        new_width, new_height = (
            min(most, max(1, round(scale * side)))
            for side, most in ((box[2] - box[0], width), (box[3] - box[1], height))
        )
        # Pillow weighs colours by alpha here: nothing of the old background seeps in.
        cut = cut.crop(box).resize((new_width, new_height), Image.Resampling.BICUBIC)
        left = min(max(0, round((box[0] + box[2] - new_width) / 2)), width - new_width)
        top = min(max(0, round((box[1] + box[3] - new_height) / 2)), height - new_height)
    image = ImageOps.fit(ground, (width, height), Image.Resampling.BICUBIC)
    image.paste(cut, (left, top), cut)
    mask = np.zeros((height, width), dtype=np.float32)
    mask[top : top + cut.height, left : left + cut.width] = np.asarray(cut)[..., 3] >= 128
    return image, mask
