"""How this annotator agrees with the others over all photos: compared in the background, and kept."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from lookright.annotate.project import Project
from lookright.annotate.store import MARKED
from lookright.data.agreement import Overlap, agree
from lookright.data.annotations import Marks, SignedMask
from lookright.errors import DataError

State = tuple[tuple[str, int, int], ...]
"""Files with their size and time: as long as these are the same, so is what was found."""


class Compared:
    """Agreement with each other annotator, over the photos that both have marked.

    Nothing is read before `refresh`. That starts a thread, which compares what is new or has changed since,
    while `told` gives what is known so far. The thread reads files alone and takes no lock of the layer, so
    writes never wait for it.

    Args:
        project: whose annotator is compared with the others

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from lookright.annotate.open_project import open_project
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (3, 2)).save(folder / "a.png")
        >>> project = open_project(folder, annotator="anna")
        >>> compared = Compared(project)
        >>> compared.refresh()
        >>> compared.told()
        {'pending': False, 'others': []}
        >>> project.close()
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._indices = {item.id: index for index, item in enumerate(project.items)}
        self._found: dict[tuple[str, str], tuple[State, Overlap | None]] = {}
        self._lock = threading.Lock()
        self._running = False
        self._due = False

    def refresh(self) -> None:
        """Compare in the background what is new or has changed; where there is nobody else, do nothing."""
        if not self._project.other_annotators():
            return
        with self._lock:
            self._due = True
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="agreement", daemon=True).start()

    def told(self) -> dict[str, Any]:
        """What is known by now, for the page; `pending` where there may be more soon."""
        others = self._project.other_annotators()
        with self._lock:
            pending, found = self._running, dict(self._found)
        return {"pending": pending, "others": [self._about(name, found) for name in others]}

    def _about(self, name: str, found: dict[tuple[str, str], tuple[State, Overlap | None]]) -> dict[str, Any]:
        overlaps = {photo: one for (other, photo), (_, one) in found.items() if other == name and one}
        agreement = agree((self._project.annotator, name), overlaps)
        least = [] if agreement is None else agreement.least
        return {
            "annotator": name,
            "images": 0 if agreement is None else agreement.images,
            "agreement": None if agreement is None else agreement.iou,
            "least": [
                {
                    "index": self._indices[photo],
                    "name": self._project.items[self._indices[photo]].path.name,
                    "agreement": iou,
                }
                for photo, iou in least
            ],
        }

    def _run(self) -> None:
        while self._is_due():
            with suppress(OSError):  # a folder that is gone by now
                self._compare_all()

    def _is_due(self) -> bool:
        with self._lock:
            self._running, self._due = self._due, False
            return self._running

    def _compare_all(self) -> None:
        project = self._project
        others = project.other_annotators()
        marked = [i for i, item in enumerate(project.items) if project.layer.status(item.id) == MARKED]
        seen = set()
        for index in marked:
            photo = project.items[index].id
            for name in others:
                with suppress(DataError, OSError):  # the photo or a mask: the page says so where it is opened
                    if self._compare(name, photo, index):
                        seen.add((name, photo))
        with self._lock:  # marks that are gone by now
            self._found = {key: found for key, found in self._found.items() if key in seen}

    def _compare(self, name: str, photo: str, index: int) -> bool:
        """Compare one photo, unless it is known: whether both have marked it."""
        theirs = self._project.marks_of(name, index)
        if theirs is None:
            return False
        ours = SignedMask(self._project.layer.path(photo))
        state = _state(ours, theirs)
        known = self._found.get((name, photo))
        if known is None or known[0] != state:
            overlap = self._project.compare(index, self._project.marks(index), theirs)
            with self._lock:
                self._found[name, photo] = state, overlap
        return True


def _state(*marks: Marks) -> State:
    files: list[Path] = [file for one in marks for file in one.files]
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()])
