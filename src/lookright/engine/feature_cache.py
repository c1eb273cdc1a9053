"""The folder of all feature files: where it is, what is in it, and how it stays within its size."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lookright.engine.feature_file import FeatureFile, UnusableFileError

_KEY = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(r"index|rows|lock|index\.tmp|use-[0-9]+-[0-9]+")
_LOCK_SECONDS = 60.0
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Features that lookright can compute again: 'lookright cache --clear' deletes them.\n"
    "# The first line tells backup programs to leave this folder out (https://bford.info/cachedir/).\n"
)
_count = itertools.count()


def cache_folder(chosen: Path | None = None) -> Path:
    """Give the folder of lookright's caches: the chosen one, $LOOKRIGHT_CACHE, or one where caches belong.

    This is $XDG_CACHE_HOME/lookright, ~/Library/Caches/lookright on macOS, %LOCALAPPDATA%/lookright/Cache on
    Windows, ~/.cache/lookright elsewhere.

    Raises:
        RuntimeError: the user has no home.

    Example:
        >>> cache_folder(Path("/data/cache")).as_posix()
        '/data/cache'
    """
    if chosen is not None:
        return chosen
    for name, below in (("LOOKRIGHT_CACHE", ""), ("XDG_CACHE_HOME", "lookright")):
        if os.environ.get(name):
            return Path(os.environ[name], below)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lookright"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "lookright" / "Cache"
    return Path.home() / ".cache" / "lookright"


@dataclass(frozen=True)
class Entry:
    """One feature file, as it lies on disk."""

    folder: Path
    about: Mapping[str, Any]
    """what its features are; empty where it cannot be read"""
    images: int
    rows: int
    """an image as it is and mirrored: two"""
    nbytes: int
    used: float
    """when it was used last, in seconds since 1970"""
    problem: str = ""
    """why it cannot be used"""


class FeatureCache:
    """All feature files of a folder.

    Args:
        folder: see `cache_folder`; they lie in `features` in it
        limit_bytes: how much they may take together

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = FeatureCache(Path(folder))
        ...     file = cache.open("0123456789abcdef" * 2, {"network": "resnet18"})
        ...     len(cache.entries()), cache.clear()  # nothing written yet, but in use: it stays
        (0, 1)
    """

    def __init__(self, folder: Path, limit_bytes: int = 4 << 30) -> None:
        self.folder = folder / "features"
        self.limit_bytes = limit_bytes

    def open(self, key: str, about: Mapping[str, Any]) -> FeatureFile:
        """Open a feature file, or begin one. As long as it is in use, nobody deletes it.

        Args:
            key: 32 hexadecimal digits that stand for all that the features depend on, but the image
            about: the same in words

        Raises:
            OSError, UnusableFileError: it cannot be used.
        """
        folder = self.folder / key
        with self._locked():
            folder.mkdir(exist_ok=True)
            marker = FileLock(folder / f"use-{os.getpid()}-{next(_count)}", thread_local=False)
            marker.acquire(timeout=0)
        try:
            file = FeatureFile(folder, about)
            file.touch()
        except BaseException:
            _release(marker)
            raise
        weakref.finalize(file, _release, marker)
        return file

    def make_room(self, file: FeatureFile, nbytes: int) -> str:
        """Make room for more rows of an open file: those used longest ago go, whole files.

        Returns:
            why there is none; empty if there is

        Raises:
            OSError: the folder cannot be read or written.
        """
        with self._locked():
            sizes = {folder: _size(folder) for folder in self._folders()}
            own = sizes.pop(file.folder, 0)
            free = self.limit_bytes - sum(sizes.values()) - own - nbytes
            for folder in sorted(sizes, key=_used):
                if free >= 0:
                    break
                if sizes[folder] and self._delete(folder):
                    free += sizes[folder]
            if free < 0:
                return (
                    f"{_gb(nbytes)} more do not fit into {_gb(self.limit_bytes)} (--cache-gb) beside "
                    f"{_gb(self.limit_bytes - nbytes - free)} that are in use"
                )
        on_disk = shutil.disk_usage(self.folder).free
        return f"the disk has {_gb(on_disk)} left, {_gb(nbytes)} are needed" if on_disk < nbytes else ""

    def entries(self) -> list[Entry]:
        """What is there, used last first.

        Raises:
            OSError: the folder cannot be read.
        """
        found = []
        for folder in self._folders():
            if not (folder / "index").exists():
                continue
            nbytes, used = _size(folder), _used(folder)
            try:
                file = FeatureFile(folder)
                images = len({digest for digest, _ in file.rows})
                found.append(Entry(folder, file.about, images, len(file), nbytes, used))
            except (OSError, UnusableFileError) as error:
                found.append(Entry(folder, {}, 0, 0, nbytes, used, str(error)))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Delete every feature file that no run uses.

        Returns:
            how many had to stay

        Raises:
            OSError: the folder cannot be written.
        """
        if not self.folder.is_dir():
            return 0
        with self._locked():
            return sum(not self._delete(folder) for folder in self._folders())

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [folder for folder in self.folder.iterdir() if _KEY.fullmatch(folder.name) and folder.is_dir()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else opens or deletes a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tag = self.folder / "CACHEDIR.TAG"
        with FileLock(self.folder / "lock", timeout=_LOCK_SECONDS):
            if not tag.exists():
                tag.write_text(_TAG, encoding="utf-8")
            yield

    def _delete(self, folder: Path) -> bool:
        """Delete a file, if no run has it open; nothing else that may lie in its folder."""
        for marker in folder.glob("use-*"):
            try:
                with FileLock(marker, timeout=0):
                    pass  # its process has ended: the system gave its lock back
            except Timeout:
                return False
        with suppress(OSError):  # on Windows what is still mapped stays
            # The index first: rows without an index are begun anew.
            for path in sorted(folder.iterdir(), key=lambda path: path.name != "index"):
                if _OURS.fullmatch(path.name):
                    path.unlink()
            folder.rmdir()
        return not (folder / "index").exists()


def _release(marker: FileLock) -> None:
    if f"-{os.getpid()}-" not in Path(marker.lock_file).name:
        return  # in a process that was forked off: the lock is the parent's
    with suppress(OSError):
        marker.release(force=True)
        Path(marker.lock_file).unlink(missing_ok=True)


def _size(folder: Path) -> int:
    total = 0
    for name in ("index", "rows"):
        with suppress(FileNotFoundError):
            total += (folder / name).stat().st_size
    return total


def _used(folder: Path) -> float:
    try:
        return (folder / "index").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _gb(nbytes: int) -> str:
    return f"{nbytes / 2**30:.2g} GB"
