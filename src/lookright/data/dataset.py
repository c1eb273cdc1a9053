"""The data set of images and annotations at one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from lookright.data.annotations import Area, Item, Matrix
from lookright.data.appearance import Appearance, name_of
from lookright.data.at_size import as_whole, drawn_marks, made_marks, resize_marks, resize_photo
from lookright.data.corrupt import parse_corruption
from lookright.data.derive import mark_outside, outside
from lookright.data.images import Frame, open_frame, open_picture
from lookright.data.isolation import Isolation
from lookright.data.memory import Memory, OfClasses
from lookright.data.transforms import draw_mirrored, mirror
from lookright.errors import ConfigError
from lookright.types import Sample

_ANY = Frame(stored_size=(1, 1), orientation=1)  # for marks that fit every photo
_COUNTERS = 65
"""One for this process, and one for each worker: they count at the same time."""


class ExplanationDataset(Dataset[Sample]):
    """Images with label and annotation, resized to a square.

    The annotation goes along with every change of the image. When it shrinks, a pixel takes the sign that
    covers more of it, if that is at least a quarter (`lookright.resize`), so that thin marks survive; when
    it grows, the nearest mark.

    Images and annotations are decoded once and kept, resized, up to `cache_bytes`. With worker processes
    the bytes are shared out among them; give the DataLoader `persistent_workers=True` then, or every epoch
    decodes again.

    Args:
        items: the images, for instance `read_annotations(config).split("train").items`
        image_size: side of the square in pixels
        mean: of the three channels, on the scale [0, 1], subtracted
        std: of the three channels, divided by
        flip: mirror at random, image and annotation together
        seed: of the random mirroring
        negatives_outside: margin around positive marks beyond which everything is marked negative, as a share
            of the side, where nothing negative was marked (see `derive.mark_outside`); None leaves it out
        corrupt: how annotations are made rough, by `seed` and the image's id, before negatives are derived
            (see `corrupt.parse_corruption`); None leaves them as they are
        cache_bytes: memory for decoded images; 0 decodes each time
        num_classes: K of a multi-label task; None where images have one label, or a number
        isolation: shows images at random without what lies outside their annotation, by `seed`; None does not

    Raises:
        ConfigError: an argument out of range.

    Shapes:
        a sample's image is (3, image_size, image_size) float32, its annotation (1, image_size, image_size)
        float32 in [-1, 1], all 0 where the image is not annotated. In a multi-label task a sample has (K,)
        labels and one annotation of this shape per annotated class.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "a.png")
        ...     Image.new("RGB", (8, 6), (255, 255, 255)).save(file)
        ...     dataset = ExplanationDataset(
        ...         [Item("a.png", file, 0, "train")], image_size=4, mean=[0.5] * 3, std=[0.5] * 3
        ...     )
        ...     sample = dataset[0]
        >>> sample.image.shape, sample.image.max().item(), sample.annotated
        (torch.Size([3, 4, 4]), 1.0, False)
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        flip: bool = False,
        seed: int = 0,
        negatives_outside: float | None = None,
        corrupt: str | None = None,
        cache_bytes: int = 1 << 30,
        num_classes: int | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        if image_size < 1:
            raise ConfigError(f"image_size: got {image_size}; give the side of the square in pixels, 224 say")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(f"mean, std: got {mean} and {std}; give three numbers each, std above 0")
        if seed < 0:
            raise ConfigError(f"seed: got {seed}; give 0 or more")
        self.items = tuple(items)
        self._annotated = _annotated(self.items)
        self.image_size = image_size
        self.flip = flip
        self.seed = seed
        self.negatives_outside = negatives_outside
        self.corruption = None if corrupt is None else parse_corruption(corrupt)
        self.cache_bytes = cache_bytes
        self.num_classes = num_classes
        self.isolation = isolation
        self._mean = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32).view(3, 1, 1)
        self._memory = Memory(cache_bytes)
        self._has_negative: dict[int, bool] = {}  # drawn, not derived
        self._isolable: dict[int, bool] = {}
        # In shared memory, so that workers that live on from epoch to epoch see the new number.
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.untyped_storage().share_memory_()
        self._counts = torch.zeros(_COUNTERS, 2, dtype=torch.int64)
        self._counts.untyped_storage().share_memory_()

    @property
    def from_memory(self) -> float | None:
        """Share of the photos asked for that did not have to be decoded; None before the first."""
        asked, found = self._counts.sum(dim=0).tolist()
        return found / asked if asked else None

    @property
    def annotated(self) -> list[bool]:
        """Whether each image has an annotation."""
        return [item.annotated for item in self.items]

    @property
    def annotated_images(self) -> int:
        """How many images have one."""
        return sum(self.annotated)

    @property
    def epoch(self) -> int:
        """Which epoch it is, in every process that loads images."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins: every epoch mirrors other images.

        Args:
            epoch: counted from 0
        """
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self.items) <= index < len(self.items):
            raise IndexError(index)  # which ends plain iteration
        return self.show(self.appearance(index % len(self.items)))

    def appearance(self, index: int) -> Appearance:
        """How an image is shown in this epoch.

        Args:
            index: of the image
        """
        isolated = self.is_isolated(index)
        return Appearance(
            name_of(self.items[index].id, isolated=isolated), index, self.is_mirrored(index), isolated
        )

    def show(self, appearance: Appearance) -> Sample:
        """Give an image in one way that it is shown.

        Args:
            appearance: of this data set
        """
        return self.sample(appearance.index, mirrored=appearance.mirrored, isolated=appearance.isolated)

    def is_mirrored(self, index: int) -> bool:
        """Whether an image is mirrored in this epoch.

        Args:
            index: of the image
        """
        return self.flip and draw_mirrored(seed=self.seed, epoch=self.epoch, index=index)

    def is_isolated(self, index: int) -> bool:
        """Whether an image is isolated in this epoch.

        Args:
            index: of the image
        """
        drawn = self.isolation and self.isolation.draw(seed=self.seed, epoch=self.epoch, index=index)
        return bool(drawn) and self._can_isolate(index)

    def appearances(self, *, isolated: bool = False) -> Iterator[Appearance]:
        """Give all ways that images are shown in some epoch.

        Args:
            isolated: those of isolated images; otherwise the others
        """
        for mirrored in (False, True) if self.flip else (False,):
            for index, item in enumerate(self.items):
                if not isolated or self._can_isolate(index):
                    yield Appearance(name_of(item.id, isolated=isolated), index, mirrored, isolated)

    def _can_isolate(self, index: int) -> bool:
        if self.isolation is None or not self.items[index].annotated:
            return False
        if index not in self._isolable:
            self._isolable[index] = bool(self._outside(index, self.marks(index)[0][1]).any())
        return self._isolable[index]

    def _outside(self, index: int, marks: Tensor) -> Tensor:
        """What lies outside the marks of an image as they were drawn, (1, S, S) bool."""
        return outside(marks if self._has_negative[index] else marks.clamp(min=0))

    def _ground(self, index: int) -> Tensor:
        """What an image is shown on where it is isolated, broadcasts to (3, S, S)."""
        lender = (
            self.isolation.lender(seed=self.seed, index=index, annotated=self._annotated)
            if self.isolation
            else None
        )
        if lender is None or not self._can_isolate(lender):
            return torch.zeros(3, 1, 1)  # the mean colour
        pixels, marks = self._load(lender)
        image, lent = self._normalized(pixels), self._outside(lender, marks[0][1])
        colour = (image * lent).sum(dim=(1, 2), keepdim=True) / lent.sum()
        return torch.where(lent, image, colour)

    def _normalized(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self._mean) / self._std

    def sample(self, index: int, *, mirrored: bool, isolated: bool = False) -> Sample:
        """Give one image as it is, mirrored, isolated: what `[index]` chooses between at random.

        Args:
            index: of the image
            mirrored: swap left and right of image and annotation
            isolated: leave out what lies outside the annotation; needs an isolation
        """
        item = self.items[index]
        name = name_of(item.id, isolated=isolated)
        pixels, marks = self._load(index)
        image = self._normalized(pixels)
        if isolated:
            image = torch.where(self._outside(index, marks[0][1]), self._ground(index), image)
        annotations = tuple((label, annotation.float()) for label, annotation in marks)
        if mirrored:
            image, *mirrored_marks = mirror(image, *(annotation for _, annotation in annotations))
            annotations = tuple(
                (label, annotation)
                for (label, _), annotation in zip(annotations, mirrored_marks, strict=True)
            )
        first = annotations[0][1]
        if self.num_classes is None:
            return Sample(image, item.label, first, item.annotated, name, mirrored, item.value)
        labels = torch.zeros(self.num_classes)
        labels[list(item.labels)] = 1
        known = annotations if item.annotated else ()
        return Sample(image, item.label, first, item.annotated, name, mirrored, None, labels, known)

    def marks(self, index: int) -> OfClasses:
        """Give the annotations of one image as they are, not mirrored. The photo is not decoded.

        Args:
            index: of the image

        Returns:
            each annotated class and its annotation, (1, image_size, image_size), int8 where that can hold it;
            the label and zeros where nothing is annotated
        """
        item = self.items[index]
        if not item.annotated:
            return ((item.label, torch.zeros(1, self.image_size, self.image_size, dtype=torch.int8)),)
        if index in self._memory.marks:
            return self._memory.marks[index]
        # What a program has made fits any photo.
        return self._render(index, _ANY if made_marks(item) else open_frame(item.path))

    def as_drawn(self) -> Self:
        """Give the same images without the negative marks that are derived from positive ones."""
        return self if self.negatives_outside is None else self._changed(self.items, negatives_outside=None)

    def without_isolation(self) -> Self:
        """Give the same images, never isolated; photos that are decoded already are shared."""
        other = copy(self)
        other.isolation = None
        return other

    def with_marks(self, marks: Mapping[int, Matrix]) -> Self:
        """Give the same images with other marks; photos that are decoded already stay so.

        Args:
            marks: by the index of the image, made for it (`Matrix.made`); the others keep theirs
        """
        items = [replace(item, marks=marks.get(i, item.marks)) for i, item in enumerate(self.items)]
        other = self._changed(items, negatives_outside=self.negatives_outside)
        other._memory = self._memory.without_marks(marks)
        other._has_negative = {i: known for i, known in self._has_negative.items() if i not in marks}
        return other

    def _changed(self, items: Sequence[Item], *, negatives_outside: float | None) -> Self:
        other = copy(self)
        other.items = tuple(items)
        other._annotated = _annotated(items)
        other.negatives_outside = negatives_outside
        other._memory, other._has_negative, other._isolable = Memory(self.cache_bytes), {}, {}
        return other

    def _load(self, index: int) -> tuple[Tensor, OfClasses]:
        """Image (3, S, S) uint8, and what `marks` gives."""
        worker = get_worker_info()
        count = self._counts[(worker.id + 1) % _COUNTERS if worker else 0]
        count[0] += 1
        if index in self._memory.pixels:
            count[1] += 1
            return self._memory.pixels[index], self.marks(index)
        picture = open_picture(self.items[index].path)
        pixels = resize_photo(picture.image, self.image_size)
        self._memory.keep_pixels(index, pixels)
        known = index in self._memory.marks or not self.items[index].annotated
        return pixels, self.marks(index) if known else self._render(index, picture)

    def _render(self, index: int, photo: Frame) -> OfClasses:
        item = self.items[index]
        drawn = drawn_marks(item, photo)
        self._has_negative[index] = any(
            signed is not None and bool((signed < 0).any()) for _, signed in drawn
        )
        marks = tuple((label, self._at_size(signed, item, label)) for label, signed in drawn)
        self._memory.keep_marks(index, marks)
        return marks

    def _at_size(self, signed: Area | None, item: Item, label: int) -> Tensor:
        marks = resize_marks(signed, self.image_size)
        if self.corruption is not None and signed is not None and made_marks(item) is None:
            drawn = marks[0].float().numpy()
            of = label if item.marks_by_class else 0
            rough = self.corruption(drawn, seed=self.seed, item_id=item.id, label=of)
            marks = as_whole(torch.from_numpy(rough)[None])
        return marks if self.negatives_outside is None else mark_outside(marks, self.negatives_outside)


def _annotated(items: Sequence[Item]) -> tuple[int, ...]:
    return tuple(i for i, item in enumerate(items) if item.annotated)
