"""Which photo a task of Label Studio means: uploads, cloud storage, local files, any address."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lookright.data.annotations import Problem
from lookright.data.layout import IMAGE_SUFFIXES, Photo, Photos, posix
from lookright.data.readers.sources import one_photo

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What an upload puts before the name."""


class TaskPhotos:
    """Finds the photo of a task.

    Args:
        photos: of the data folder
    """

    def __init__(self, photos: Photos) -> None:
        self._photos = photos

    def find(self, data: dict[str, Any], source: Path, where: str) -> Photo | Problem | str:
        """The photo, what is wrong, or the name for which there is none.

        Args:
            data: of the task; each value that names an image counts
            source: the export
            where: which task, for the message
        """
        paths = [image_path(value) for value in data.values() if isinstance(value, str)]
        paths = [path for path in paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
        answers = [self._find(path, source, where) for path in paths]
        found = {answer.id: answer for answer in answers if isinstance(answer, Photo)}
        if len(found) > 1:
            what = f"{where}a task of {len(found)} images: {', '.join(sorted(found)[:3])}"
            return Problem(source, what, "its marks are left out: make a task of each image")
        if found:
            return next(iter(found.values()))
        unclear = [answer for answer in answers if isinstance(answer, Problem) and answer.fatal]
        return unclear[0] if unclear else paths[0] if paths else f"{where}which names no image file"

    def _find(self, path: str, source: Path, where: str) -> Photo | Problem:
        name = PurePosixPath(path).name
        answer = one_photo(self._photos, [path, _UPLOADED.sub("", name, count=1)], source, where)
        if isinstance(answer, Problem) and not answer.fatal and _UPLOADED.match(name):
            same = self._as_uploaded.get(_UPLOADED.sub("", name, count=1), [])
            return same[0] if len(same) == 1 else answer
        return answer

    @cached_property
    def _as_uploaded(self) -> dict[str, list[Photo]]:
        """Photos by the name that an upload makes of theirs: spaces become _, other signs are dropped."""
        found: dict[str, list[Photo]] = defaultdict(list)
        for photo in self._photos.all:
            found[re.sub(r"[^-\w.]", "", photo.path.name.strip().replace(" ", "_"))].append(photo)
        return found


def image_path(address: str) -> str:
    """The path in the address of an image, with forward slashes.

    Example:
        >>> image_path("/data/local-files/?d=cats%20and%20dogs/a.jpg")
        'cats and dogs/a.jpg'
        >>> image_path("s3://bucket/pets/a.jpg"), image_path("https://example.org/pets/a.jpg?size=2")
        ('pets/a.jpg', 'pets/a.jpg')
    """
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return posix(address)
    if local:
        return posix(local[0])
    return posix(unquote(parts.path if parts.netloc or parts.query else address)).lstrip("/")
