"""The layer of one annotator on disk: masks and their state; a crash loses one stroke at most."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from lookright.annotate.pixels import Grey, encode_marks, has_marks
from lookright.annotate.refused import RefusedError
from lookright.data.layout import Photo, Photos
from lookright.data.readers.annotators import ANNOTATORS
from lookright.data.readers.folders import KINDS, SIGNED
from lookright.errors import ConfigError, DataError, LookrightWarning
from lookright.files import replacing

STATE = ".state.json"

OPEN, MARKED, NOTHING, SKIPPED = STATUSES = "open", "marked", "nothing", "skipped"

_LOCK = ".lock"


class Written(NamedTuple):
    """What an image is after a write."""

    version: int
    status: str


def mask_names(photos: Photos) -> tuple[dict[str, str], list[Photo]]:
    """Name the mask of each photo so that a reader finds this photo alone by it.

    Args:
        photos: of the data folder

    Returns:
        photo id -> path below signed/ without .png; and photos that no name tells from others
    """
    names: dict[str, str] = {}
    unnamed = []
    for photo in photos.all:
        candidates = (photo.key, photo.key + photo.path.suffix, photo.id)
        name = next((name for name in candidates if len(photos.find(name)) == 1), None)
        if name is None:
            unnamed.append(photo)
        else:
            names[photo.id] = name
    return names, unnamed


class Layer:
    """What one annotator has marked, and said of images without marks.

    Each write carries the version that it was made from; the version counts the writes of an image. A mask
    is written before the state that tells its version, so at any moment every mask on disk is whole, and
    what the state does not know is at most the last write.

    Nothing is made on disk before the first write but the annotator's folder, with a lock in it: two
    servers that write one layer would not see each other's versions. A damaged state is set aside under
    another name, with a warning.

    Args:
        base: folder that holds `annotators/`
        annotator: name of the folder in it
        photos: of the data folder

    Raises:
        ConfigError: another server writes this layer, or it has marks in another form.
        DataError: the state cannot be read, or nothing can be written there.
    """

    def __init__(self, base: Path, annotator: str, photos: Photos) -> None:
        self.folder = base / ANNOTATORS / annotator
        self._state_file = self.folder / STATE
        self._write = threading.Lock()
        self._check_form()
        self._lock = self._take()
        try:
            self._names, _ = mask_names(photos)
            self._state = self._read_state()
            self._lines = {photo_id: _line(photo_id, entry) for photo_id, entry in self._state.items()}
            self._marked = self._find_masks(photos)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another server have it; folders without anything in them are removed."""
        with suppress(OSError):  # before it is let go, or another server's lock would be removed
            (self.folder / _LOCK).unlink(missing_ok=True)
        self._lock.release()
        for folder in (self.folder, self.folder.parent):
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def path(self, photo_id: str) -> Path:
        """Where the mask of a photo is, or would be."""
        return self.folder / SIGNED / f"{self._names[photo_id]}.png"

    def name(self, photo_id: str) -> str:
        """The mask's path below signed/, without .png: what other annotators' masks are called too."""
        return self._names[photo_id]

    def version(self, photo_id: str) -> int:
        """Number of writes so far."""
        return int(self._state.get(photo_id, {}).get("version", 0))

    def status(self, photo_id: str) -> str:
        """One of `STATUSES`."""
        if photo_id in self._marked:
            return MARKED
        return str(self._state.get(photo_id, {}).get("status", OPEN))

    def is_drawn_on(self, photo_id: str) -> bool:
        """Whether marks of this photo were ever written here, even if none are left."""
        return photo_id in self._marked or bool(self._state.get(photo_id, {}).get("drawn"))

    def put_marks(self, photo_id: str, marks: Grey, version: int) -> Written:
        """Write the marks of a photo; marks of nothing remove the mask.

        Args:
            photo_id: which
            marks: (H, W)
            version: that they were made from

        Raises:
            RefusedError: 409, somebody else has written since.
            DataError: the disk does not take it, or the mask's folder is a link out of the layer.
        """
        png = encode_marks(marks) if has_marks(marks) else None
        with self._write:
            self._check_version(photo_id, version)
            path = self.path(photo_id)
            self._refuse_link(path.parent)
            if png is not None:
                with replacing(path, durable=True) as temporary:
                    temporary.write_bytes(png)
                self._marked.add(photo_id)
            else:
                _remove(path)
                self._marked.discard(photo_id)
            return self._raise_version(photo_id, status=OPEN, drawn=True)

    def put_status(self, photo_id: str, status: str, version: int, *, is_marked: bool) -> Written:
        """Say of a photo that there is nothing to mark, that it is skipped, or neither.

        An image with a mask stays marked, whether skipped or not.

        Args:
            photo_id: which
            status: nothing, skipped or open
            version: that it was said of
            is_marked: whether the photo is shown with marks

        Raises:
            RefusedError: 409, somebody else has written since, or "nothing" is said of an image with marks.
            DataError: the disk does not take it.
        """
        with self._write:
            self._check_version(photo_id, version)
            if status == NOTHING and (is_marked or photo_id in self._marked):
                raise RefusedError(
                    409,
                    "this image has marks; erase them before you say that there is nothing to mark",
                    version=version,
                    status=self.status(photo_id),
                )
            return self._raise_version(photo_id, status=status)

    def _raise_version(self, photo_id: str, **changes: object) -> Written:
        version = self.version(photo_id) + 1
        before = self._state.get(photo_id, {})
        entry = (
            before | changes | {"version": version, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        )
        # The file first: if the disk is full, this and the file still say the same.
        lines = self._lines | {photo_id: _line(photo_id, entry)}
        with replacing(self._state_file, durable=True) as temporary:
            temporary.write_text('{"images": {\n' + ",\n".join(lines.values()) + "\n}}\n", encoding="ascii")
        self._state[photo_id], self._lines = entry, lines
        return Written(version, self.status(photo_id))

    def _check_version(self, photo_id: str, version: int) -> None:
        current = self.version(photo_id)
        if version != current:
            raise RefusedError(
                409,
                "this image was changed in another window since it was loaded; nothing was written",
                version=current,
                status=self.status(photo_id),
            )

    def _refuse_link(self, folder: Path) -> None:
        if not folder.resolve().is_relative_to(self.folder.resolve()):
            raise DataError(
                f"{folder}: a link leads out of {self.folder}, and nothing was written through it; put a "
                "folder in its place, or give another --out"
            )

    def _check_form(self) -> None:
        for kind in KINDS:
            if kind != SIGNED and (self.folder / kind).exists():
                raise ConfigError(
                    f"annotator: {self.folder} holds {kind}/, and what is drawn here goes to {SIGNED}/, "
                    "which cannot stand beside it; choose another --annotator"
                )

    def _take(self) -> FileLock:
        lock = FileLock(self.folder / _LOCK)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(
                f"annotator: another 'lookright annotate' writes to {self.folder}; use its page, stop it, or "
                "choose another --annotator"
            ) from error
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be written ({error.strerror or error}); give another --out"
            ) from error
        return lock

    def _read_state(self) -> dict[str, dict[str, Any]]:
        if not self._state_file.exists():
            return {}
        try:
            images = json.loads(self._state_file.read_text(encoding="utf-8"))["images"]
            for entry in images.values():
                if not isinstance(entry["version"], int) or entry["status"] not in STATUSES:
                    raise ValueError(f"an entry {entry!r}")
        except OSError as error:
            raise DataError(f"{self._state_file}: cannot be read ({error}); see that it can be") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._set_aside(error)
            return {}
        return dict(images)

    def _set_aside(self, error: Exception) -> None:
        """Go on without a damaged state: the masks are what took time."""
        places = (self.folder / f".state.damaged-{number}.json" for number in count(1))
        place = next(place for place in places if not place.exists())
        try:
            self._state_file.rename(place)
        except OSError as refused:
            raise DataError(f"{self._state_file}: is damaged, and cannot be renamed ({refused})") from refused
        warnings.warn(
            f"{self._state_file}: is damaged ({error}), and was renamed to {place.name}: the masks stay, but "
            "what was skipped or has nothing to mark is open again; to mend it, stop this and rename it back",
            LookrightWarning,
            stacklevel=5,
        )

    def _find_masks(self, photos: Photos) -> set[str]:
        """Ids of photos with a mask. What a killed server left half written is removed."""
        place = self.folder / SIGNED
        ids = {name: photo_id for photo_id, name in self._names.items()}
        marked = set()
        for file in self.folder.rglob(".*.tmp"):
            file.unlink(missing_ok=True)
        for file in place.rglob("*"):
            if file.name.startswith(".") or not file.is_file():
                continue
            name = file.relative_to(place).with_suffix("").as_posix()
            if file.suffix == ".png" and name in ids:
                marked.add(ids[name])
            elif found := photos.find(name):
                raise ConfigError(
                    f"annotator: {file} is called otherwise than the mask of {found[0].id} is here; rename "
                    f"it to {self._names.get(found[0].id, name)}.png, or choose another --annotator"
                )
        return marked


def _line(photo_id: str, entry: Mapping[str, object]) -> str:
    """A line for each image: kept, since of ten thousand only one changes with a write."""
    return f"{json.dumps(photo_id)}: {json.dumps(entry)}"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be removed ({error.strerror or error}); look at its folder"
        ) from error
