"""Marks to start with accepted as they are, on many photos: in the background, one after the other."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from typing import Any

from lookright.annotate.pixels import has_marks
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.errors import DataError

MOST_NAMED = 100
"""Photos that failed of which the name and the reason are kept; all are counted."""


@dataclass(frozen=True)
class Failed:
    """A photo whose marks could not be accepted."""

    index: int
    name: str
    why: str


@dataclass(frozen=True)
class Accepted:
    """How far it is."""

    state: str = "none"
    """none, running, done or stopped"""
    photos: int = 0
    """that were to be accepted at the start"""
    accepted: int = 0
    changed: int = 0
    """photos that somebody has drawn on or skipped meanwhile: left as they are"""
    failures: int = 0
    failed: tuple[Failed, ...] = ()
    """the first of them"""


class AcceptAll:
    """Writes the marks to start with of all photos of which nothing was said yet.

    Each photo is written as the page would: from the version that it has when its marks are read. The layer
    is taken for one photo at a time, so other writes get in between.

    Args:
        project: whose marks

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from lookright.annotate.open_project import open_project
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (3, 2)).save(folder / "a.png")
        >>> project = open_project(folder, annotator="anna")
        >>> AcceptAll(project).told()["state"]
        'none'
        >>> project.close()
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._accepted = Accepted()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._starting = threading.Lock()

    def start(self) -> None:
        """Begin, and return at once.

        Raises:
            RefusedError: 409, it runs already, or there is nothing to accept.
        """
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                raise RefusedError(409, "photos are being accepted already; wait for the end, or stop it")
            indices = self._project.to_accept()
            if not indices:
                raise RefusedError(409, "no photo has marks to start from that are still to be accepted")
            self._stop.clear()
            self._accepted = Accepted("running", len(indices))
            self._thread = threading.Thread(target=self._run, args=(indices,), name="accept", daemon=True)
            self._thread.start()

    def told(self) -> dict[str, Any]:
        """How far it is, as JSON tells it."""
        return asdict(self._accepted)

    def cancel(self) -> None:
        """Stop after the photo that is being written; what was accepted stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """The same, at the server's end."""
        self.cancel()

    def _run(self, indices: list[int]) -> None:
        state = "stopped"
        try:
            for index in indices:
                if self._stop.is_set():
                    return
                self._accepted = self._with(index)
            state = "done"
        finally:
            self._accepted = replace(self._accepted, state=state)

    def _with(self, index: int) -> Accepted:
        """How far it is once this photo is done."""
        now = self._accepted
        try:
            if self._accept(index):
                return replace(now, accepted=now.accepted + 1)
            return replace(now, changed=now.changed + 1)
        except (DataError, OSError) as error:
            item = self._project.items[index]
            failed = Failed(index, item.path.name, str(error).removeprefix(f"{item.id}: "))
            return replace(now, failures=now.failures + 1, failed=(*now.failed, failed)[:MOST_NAMED])

    def _accept(self, index: int) -> bool:
        """Accept one photo: False where somebody has said something of it meanwhile."""
        layer, photo_id = self._project.layer, self._project.items[index].id
        # The version first: if somebody writes in between, this write is refused.
        version = layer.version(photo_id)
        if not self._project.is_to_accept(index) or layer.path(photo_id).is_file():
            return False
        marks = self._project.start_marks(index)
        if not has_marks(marks):
            raise DataError(f"{photo_id}: nothing is marked on it")
        try:
            layer.put_marks(photo_id, marks, version)
        except RefusedError:
            return False
        return True
