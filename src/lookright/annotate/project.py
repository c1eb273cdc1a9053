"""What is annotated: the photos of a data folder, their labels, and who has marked what."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lookright.annotate import pixels
from lookright.annotate.pixels import Grey, has_marks, of_photo, unmarked
from lookright.annotate.store import OPEN, Layer
from lookright.data.agreement import Overlap, overlap
from lookright.data.annotations import AnnotationSet, Item, Marks, MaskFiles, SignedMask
from lookright.data.images import open_frame
from lookright.data.readers.annotators import ANNOTATORS
from lookright.data.readers.folders import KINDS, NEGATIVE, POSITIVE, SIGNED
from lookright.errors import DataError, LookrightWarning


@dataclass(frozen=True, eq=False)
class Project:
    """A data folder that one person annotates. No photo is opened to make one."""

    images: AnnotationSet
    """sorted by id, without marks; label -1 where nobody has said one"""
    layer: Layer
    before: Mapping[str, Marks]
    """photo id -> marks to start with: of the data folder where the layer lies elsewhere, or of a file"""
    base: Path
    annotator: str
    source: str | None = None
    """name of the file or folder that `before` is of"""
    _unfit: set[str] = field(default_factory=set, init=False, repr=False)
    """photos whose marks to start with were found not to fit, or to be none"""

    @property
    def items(self) -> tuple[Item, ...]:
        """The photos; their positions are the indices of the page."""
        return self.images.items

    @property
    def fingerprint(self) -> str:
        """The same as long as every index means the same photo, and marks of it are the same person's."""
        places = [str(self.images.root.resolve()), str(self.layer.folder.resolve())]
        told = json.dumps([*places, *(item.id for item in self.items)])  # ASCII, whatever files are called
        return hashlib.sha256(told.encode("ascii")).hexdigest()

    def close(self) -> None:
        """Let another server write the layer."""
        self.layer.close()

    def label(self, index: int) -> str | None:
        """Name of a photo's class, or its number as text; None where nobody has said it.

        Args:
            index: of the photo
        """
        item = self.items[index]
        if item.value is not None:
            return f"{item.value:g}"
        return self.images.classes[item.label] if item.label >= 0 else None

    def annotators(self) -> list[str]:
        """Everybody who has a folder, sorted, and this person."""
        place = self.base / ANNOTATORS
        there = [entry.name for entry in place.iterdir() if entry.is_dir()] if place.is_dir() else []
        return sorted({name for name in there if not name.startswith(".")} | {self.annotator})

    def marks(self, index: int) -> Grey:
        """The marks to show: this annotator's; where there never were any, those to start with.

        Marks to start with that do not fit the photo are left out, with a warning.

        Args:
            index: of the photo

        Returns:
            (H, W) at the size of the upright photo

        Raises:
            DataError: the photo or the annotator's marks cannot be read.
        """
        item = self.items[index]
        photo = open_frame(item.path)
        drawn = self.layer.path(item.id)
        if drawn.is_file():
            return of_photo(SignedMask(drawn), photo, item.id)
        if item.id not in self.before or self.layer.is_drawn_on(item.id):
            return unmarked(photo.size)
        is_known = item.id in self._unfit
        try:
            return self.start_marks(index)
        except DataError as error:
            if not is_known:
                warnings.warn(f"{error} (shown without marks until then)", LookrightWarning, stacklevel=2)
        return unmarked(photo.size)

    def has_start(self, index: int) -> bool:
        """Whether a photo is shown with marks to start with, as far as that is known without reading them.

        Args:
            index: of the photo
        """
        photo_id = self.items[index].id
        return (
            photo_id in self.before and photo_id not in self._unfit and not self.layer.is_drawn_on(photo_id)
        )

    def is_to_accept(self, index: int) -> bool:
        """Whether it has such marks and nothing was said of it yet: it is neither drawn on nor skipped.

        Args:
            index: of the photo
        """
        return self.has_start(index) and self.layer.status(self.items[index].id) == OPEN

    def to_accept(self) -> list[int]:
        """All photos of that kind."""
        return [index for index in range(len(self.items)) if self.is_to_accept(index)]

    def marks_to_accept(self, index: int) -> Grey | None:
        """The marks to start with of a photo of which nothing was said yet; None for any other.

        Args:
            index: of the photo

        Raises:
            DataError: as of `start_marks`
        """
        return self.start_marks(index) if self.is_to_accept(index) else None

    def start_marks(self, index: int) -> Grey:
        """The marks to start with, whether or not something was drawn since.

        Args:
            index: of a photo that has some

        Returns:
            (H, W) at the size of the upright photo

        Raises:
            DataError: the photo or these marks cannot be read, or they do not fit.
        """
        item = self.items[index]
        photo = open_frame(item.path)
        try:
            marks = of_photo(self.before[item.id], photo, item.id)
        except DataError:
            self._unfit.add(item.id)
            raise
        if has_marks(marks):
            self._unfit.discard(item.id)
        else:
            self._unfit.add(item.id)
        return marks

    def others(self, index: int) -> list[dict[str, object]]:
        """Who else has marked a photo, and how well that agrees.

        Args:
            index: of the photo

        Raises:
            DataError: the photo or marks of this annotator cannot be read.
        """
        found = {name: marks for name in self.other_annotators() if (marks := self.marks_of(name, index))}
        if not found:
            return []
        ours = self.marks(index)
        overlaps = {name: self.compare(index, ours, theirs) for name, theirs in found.items()}
        return [
            {"annotator": name, "agreement": with_other and with_other.iou}
            for name, with_other in overlaps.items()
        ]

    def other_annotators(self) -> list[str]:
        """Everybody who has a folder but this person, sorted."""
        return [name for name in self.annotators() if name != self.annotator]

    def marks_of(self, annotator: str, index: int) -> Marks | None:
        """What somebody drew on a photo, as far as it is in PNG files of the usual names.

        Args:
            annotator: name of the folder
            index: of the photo
        """
        name = self.layer.name(self.items[index].id)
        folder = self.base / ANNOTATORS / annotator
        files = {kind: folder / kind / f"{name}.png" for kind in KINDS}
        there = {kind: file for kind, file in files.items() if file.is_file()}
        if SIGNED in there:
            return SignedMask(there[SIGNED])
        return MaskFiles(there.get(POSITIVE), there.get(NEGATIVE)) if there else None

    def compare(self, index: int, ours: Grey, theirs: Marks) -> Overlap | None:
        """How marks of a photo overlap with those of another person.

        Args:
            index: of the photo
            ours: (H, W)
            theirs: of the other person

        Returns:
            None where one of the two marked nothing positive, or the other's marks cannot be read: that is
            no reason not to show the photo.
        """
        item = self.items[index]
        try:
            other = of_photo(theirs, open_frame(item.path), item.id)
        except DataError:
            return None
        return overlap(ours == pixels.POSITIVE, other == pixels.POSITIVE)
