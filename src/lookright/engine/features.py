"""Features of the frozen part of a network, kept so that they are computed once: in memory or on disk."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.engine.feature_cache import FeatureCache, cache_folder
from lookright.engine.feature_file import FeatureFile, Row, UnusableFileError
from lookright.engine.feature_key import digest_of_photo, feature_key
from lookright.errors import LookrightWarning

Key = tuple[str, bool]
"""id of an image, and whether it is mirrored"""

_UNUSABLE = (OSError, UnusableFileError, NotImplementedError)
"""What a folder can have against it: full, not writable, no locks there, damaged files, ..."""


class Table:
    """Features in memory: rows of one shape, by what is in the image file and by mirroring."""

    def __init__(self) -> None:
        self._index: dict[Row, int] = {}
        self._parts: list[Tensor] = []

    def find(self, row: Row) -> int | None:
        """Number of a row; None if it is not there."""
        return self._index.get(row)

    def take(self, numbers: Sequence[int]) -> Tensor:
        """Give rows by their numbers, (B, ...)."""
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        (table,) = self._parts
        return table.index_select(0, torch.tensor(numbers, device=table.device))

    def add(self, rows: Sequence[Row], features: Tensor) -> None:
        """Take in the rows that are not there yet, (B, ...)."""
        new = {row: i for i, row in enumerate(rows) if row not in self._index}
        if new:
            start = len(self._index)
            self._index |= {row: start + i for i, row in enumerate(new)}
            self._parts.append(features[list(new.values())] if len(new) < len(features) else features)

    def clear(self) -> None:
        """Forget all of them."""
        self._index.clear()
        self._parts.clear()


class Features:
    """What the frozen part of a network gives for the images of one run, as they are and mirrored.

    Images are called by their id. Those whose file `know` was told share their features with every image of
    the same bytes, whatever its id, in whatever run.

    Args:
        table: where the features are, in memory
        file: where they are on disk; None keeps them in memory alone
        cache: of the file

    Example:
        >>> features = Features()
        >>> features.add([("a.png", False), ("a.png", True)], torch.tensor([[1.0], [2.0]]))
        True
        >>> ("a.png", True) in features, features.missing([("a.png", True), ("b.png", False)])
        (True, [('b.png', False)])
        >>> features.gather([("a.png", True), ("a.png", False)])
        tensor([[2.],
                [1.]])
    """

    def __init__(
        self,
        table: Table | None = None,
        file: FeatureFile | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self._table = Table() if table is None else table
        self._file = file
        self._cache = cache
        self._digest: dict[str, str] = {}
        self._number: dict[Key, int] = {}
        self._row_bytes = 0
        self._device = torch.device("cpu")
        self._limit_bytes = 2 << 30
        self._planned_bytes = 0

    def __len__(self) -> int:
        return len(self._number)

    def __contains__(self, key: Key) -> bool:
        return not self.missing([key])

    @property
    def nbytes(self) -> int:
        """Size of all of them."""
        return len(self) * self._row_bytes

    @property
    def on_disk(self) -> bool:
        """Whether they are kept for other runs too."""
        return self._file is not None

    def know(self, photos: Iterable[tuple[str, Path]]) -> None:
        """Learn where the photos of images are: what counts is what is in the file.

        Args:
            photos: id and file; where one cannot be read, features are kept in memory
        """
        for name, path in photos:
            try:
                self._digest[name] = digest_of_photo(path)
            except OSError:
                self._file = None

    def missing(self, keys: Sequence[Key]) -> list[Key]:
        """Which of the keys are not there yet, in their order."""
        return [key for key in keys if key not in self._number and not self._find(key)]

    def make_room(self, keys: Sequence[Key], features: Tensor, limit_bytes: int) -> bool:
        """Find out where the features of images find room: on disk, or else in memory.

        Args:
            keys: all the images of the run
            features: of some of them, (B, ...), to see how large they are
            limit_bytes: how much memory they may take

        Returns:
            whether they do
        """
        self._limit_bytes, self._device = limit_bytes, features.device
        self._row_bytes = features[0].numel() * features.element_size()
        self._planned_bytes = self._row_bytes * len(keys)
        if self._file is not None and self._cache is not None:
            try:
                needed = len(self.missing(keys)) * self._row_bytes
                problem = self._cache.make_room(self._file, needed)
            except _UNUSABLE as error:
                problem = _in_words(error)
            if problem:
                self._leave_file(problem)
        return self._has_room

    def check(self, keys: Sequence[Key], features: Tensor) -> None:
        """Compare features just computed with those on disk; if these are of another network, they go.

        What they depend on is in the key of their file. This is for what is not: code of libraries, say.
        """
        known = [i for i, key in enumerate(keys) if key in self]
        if self._file is None or not known:
            return
        stored = self._file.take([self._number[keys[i]] for i in known])
        if _agree(features[known].cpu(), stored):
            return
        _warn(f"{self._file.folder} does not hold what the network gives now; its features go")
        self._number.clear()
        try:
            self._file.replace()
        except _UNUSABLE as error:
            self._leave_file(_in_words(error))

    def add(self, keys: Sequence[Key], features: Tensor) -> bool:
        """Take in the features of images; those that are there already stay as they are.

        Args:
            keys: B images
            features: (B, ...), of one shape in all calls

        Returns:
            whether there is still room for what was planned: a disk may have become full
        """
        if not keys:
            return self._has_room
        self._row_bytes = features[0].numel() * features.element_size()
        self._device = features.device
        if self._file is not None:
            try:
                self._file.add([self._row(key) for key in keys], features)
            except _UNUSABLE as error:
                self._leave_file(_in_words(error))
        if self._file is None:
            self._table.add([self._row(key) for key in keys], features)
        self.missing(keys)  # looks them up
        return self._has_room

    def gather(self, keys: Sequence[Key]) -> Tensor:
        """Give the features of images, (B, ...), on the device that they were computed on.

        Raises:
            KeyError: one of them is not there.
        """
        if self._file is None:
            return self._table.take([self._number[key] for key in keys])
        if self._device.type != "cpu" and self.nbytes <= self._limit_bytes:
            self._move_to_memory()  # of the device
            return self.gather(keys)
        return self._file.take([self._number[key] for key in keys]).to(self._device)

    def clear(self) -> None:
        """Forget all of them. What is on disk stays there."""
        self._number.clear()
        if self._file is None:
            self._table.clear()

    @property
    def _has_room(self) -> bool:
        return self.on_disk or self._planned_bytes <= self._limit_bytes

    def _row(self, key: Key) -> Row:
        name, mirrored = key
        return self._digest.get(name, name), mirrored

    def _find(self, key: Key) -> bool:
        """Look up an image that was not looked up before."""
        row = self._row(key)
        if self._file is None:
            number = self._table.find(row)
        else:
            damaged = self._file.damaged
            number = self._file.find(row)
            self._row_bytes = self._file.row_bytes or self._row_bytes
            if self._file.damaged > damaged == 0:
                _warn(f"{self._file.folder} is damaged in places; what is, is computed again")
        if number is not None:
            self._number[key] = number
        return number is not None

    def _leave_file(self, why: str) -> None:
        _warn(f"{why}; the features of this run are kept in memory")
        self._move_to_memory()

    def _move_to_memory(self) -> None:
        """Take what this run has on disk into memory, and go on there."""
        file, self._file = self._file, None
        there, self._number = self._number, {}
        if file is not None and there and self._has_room:
            with suppress(OSError):  # then they are gone, and those images run through everything
                rows = file.take(list(there.values())).to(self._device)
                self._table.add([self._row(key) for key in there], rows)
                self.missing(list(there))


class FeatureStore:
    """Features that several runs share: compared methods and later runs need not compute them again.

    They are shared where the frozen weights, the code of the network, the bytes of an image file and what
    becomes of them are the same.

    Args:
        folder: of lookright's caches; None shares them within this process alone
        limit_bytes: how much all of them may take on disk
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = 4 << 30) -> None:
        self._cache = None if folder is None else FeatureCache(folder, limit_bytes)
        self._tables: dict[str, Table] = {}

    @classmethod
    def of(cls, config: TrainConfig) -> Self | None:
        """Make the store that the options of a run ask for; None if they ask for none."""
        if not config.cache_features:
            return None
        if not config.cache_gb:
            return cls()
        try:
            return cls(cache_folder(config.cache_dir), int(config.cache_gb * 2**30))
        except RuntimeError as error:
            _warn(f"{error}; give --cache-dir. The features of this run are kept in memory")
            return cls()

    def features(
        self,
        network: nn.Module,
        units: Sequence[str],
        about: Mapping[str, Any],
        device: torch.device | str = "cpu",
    ) -> Features:
        """Features of the frozen units of a network, to be added to.

        Args:
            network: whose units
            units: names of modules
            about: what else they depend on: image size, normalisation, ...
            device: that they are computed on
        """
        key = feature_key(network, units, about, torch.device(device))
        table = self._tables.setdefault(key, Table())
        file = None
        if self._cache is not None:
            try:
                file = self._cache.open(key, {"layer": units[-1], **about})
            except _UNUSABLE as error:
                how = "; lookright cache --clear deletes it" if isinstance(error, UnusableFileError) else ""
                _warn(f"{_in_words(error)}; the features of this run are kept in memory{how}")
        return Features(table, file, self._cache)


def _agree(computed: Tensor, stored: Tensor) -> bool:
    """Whether features differ by rounding alone: that of other batches, or of reduced precision."""
    if computed.shape != stored.shape or computed.dtype != stored.dtype:
        return False
    difference = (computed.float() - stored.float()).abs().mean()
    return bool(difference <= 0.01 * stored.float().abs().mean())


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"the cache cannot be used ({where}{error.strerror or error})"
    return f"the cache cannot be used ({error})"


def _warn(message: str) -> None:
    warnings.warn(f"cache: {message}", LookrightWarning, stacklevel=3)
