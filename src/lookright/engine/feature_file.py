"""Features on disk: rows of one shape, added at the end, read through a memory map.

A file is a folder of two files. `rows` holds the features, one after the other. `index` holds a line that
says what they are, and one record per row: digest of the image file, mirrored or not, checksum of the row,
checksum of the record. A row is written before its record, so that a process killed at any moment leaves at
most a tail without a valid record, which the next one overwrites.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

VERSION = 1
"""Of the files. Another one is not read."""

Row = tuple[str, bool]
"""digest of an image file (`digest_of_photo`), and whether the image is mirrored"""

_NAME = "lookright features"
_BODY = struct.Struct("<16s?I")
_CHECK = struct.Struct("<I")
_RECORD = _BODY.size + _CHECK.size
_LONGEST_HEADER = 1 << 16
_NOTHING: np.ndarray[Any, np.dtype[np.uint8]] = np.empty((0, 0), np.uint8)
_LOCK_SECONDS = 60.0
"""Another process holds the lock for as long as it writes one batch."""


class UnusableFileError(Exception):
    """What is on disk cannot be used, and why: its user goes on without."""


class FeatureFile:
    """Features of images, kept on disk. Several processes may read and add to it at once.

    Nothing is written before the first row comes.

    Args:
        folder: of the two files
        about: what the features are, in words, for people to read

    Raises:
        UnusableFileError: what is there is damaged, or of another version of lookright.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = FeatureFile(Path(folder))
        ...     file.add([("ab" * 16, False), ("cd" * 16, False)], torch.tensor([[1.0], [2.0]]))
        ...     again = FeatureFile(Path(folder))
        ...     again.take([again.find(("cd" * 16, False))])
        tensor([[2.]])
    """

    def __init__(self, folder: Path, about: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.about = dict(about or {})
        self.shape: tuple[int, ...] = ()
        self.dtype = torch.float32
        self.damaged = 0
        """how many rows were found damaged; they count as not there"""
        self._index: dict[Row, int] = {}
        self._checksum: list[int] = []
        self._verified: set[int] = set()
        self._header = b""
        self._bytes = _NOTHING
        self._read()
        self._map()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def rows(self) -> list[Row]:
        """What is in it."""
        return list(self._index)

    @property
    def row_bytes(self) -> int:
        """Size of one row; 0 as long as there is none."""
        return int(np.prod(self.shape)) * self.dtype.itemsize if self._header else 0

    def find(self, row: Row) -> int | None:
        """Number of a row; None if it is not there, or damaged."""
        number = self._index.get(row)
        if number is None or number in self._verified:
            return number
        if zlib.crc32(self._bytes[number].data) != self._checksum[number]:
            self.damaged += 1
            del self._index[row]  # so that it is added again; of two records the later one counts
            return None
        self._verified.add(number)
        return number

    def take(self, numbers: Sequence[int]) -> Tensor:
        """Give rows by their numbers, (B, ...), on the CPU."""
        table = torch.from_numpy(self._bytes).view(self.dtype)
        return table.index_select(0, torch.tensor(numbers)).reshape(len(numbers), *self.shape)

    def add(self, rows: Sequence[Row], features: Tensor) -> None:
        """Write the rows that are not there yet.

        Args:
            rows: B of them
            features: (B, ...), of one shape and type in all calls

        Raises:
            OSError: the disk is full, the folder cannot be written, the lock is not given back, ...
            UnusableFileError: the file was damaged or exchanged since it was opened, or holds other shapes.
        """
        with self._writing():
            self._read()
            if not self._header:
                self._begin(features)
            if (self.shape, self.dtype) != (tuple(features.shape[1:]), features.dtype):
                raise UnusableFileError(f"{self.folder} holds {self.shape} {self.dtype}")
            new = {row: i for i, row in enumerate(rows) if row not in self._index}
            if not new:
                self._map()  # what others have added
                return
            data = features[list(new.values())].detach().cpu().contiguous().reshape(len(new), -1)
            written = data.view(torch.uint8).numpy()
            checksums = [zlib.crc32(row.data) for row in written]
            start = len(self._checksum)
            _write_at(self.folder / "rows", start * self.row_bytes, written.tobytes())
            records = b"".join(map(_record, new, checksums))
            _write_at(self.folder / "index", len(self._header) + start * _RECORD, records)
            self._index |= {row: start + i for i, row in enumerate(new)}
            self._checksum += checksums
            self._verified |= set(range(start, start + len(new)))
            self._map()

    def replace(self) -> None:
        """Forget all rows, here and on disk. Who else reads them keeps what it has.

        Raises:
            OSError: they cannot be deleted.
        """
        with self._writing():
            for name in ("index", "rows"):
                (self.folder / name).unlink(missing_ok=True)
        self._index, self._checksum, self._verified = {}, [], set()
        self._header, self._bytes = b"", _NOTHING

    def touch(self) -> None:
        """Note that it was used just now."""
        if self._header:
            os.utime(self.folder / "index")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock", timeout=_LOCK_SECONDS):
            yield

    def _begin(self, features: Tensor) -> None:
        """Write the first line, all of it or nothing."""
        self.shape, self.dtype = tuple(features.shape[1:]), features.dtype
        kind = str(self.dtype).removeprefix("torch.")
        said = {
            _NAME: VERSION,
            "id": uuid.uuid4().hex,
            "shape": self.shape,
            "dtype": kind,
            "about": self.about,
        }
        text = json.dumps(said).encode()
        header = f"{zlib.crc32(text):08x} ".encode() + text + b"\n"
        temporary = self.folder / "index.tmp"
        try:
            _write_at(temporary, 0, header)
            (self.folder / "rows").unlink(missing_ok=True)  # of a file whose index is gone
            temporary.replace(self.folder / "index")
        finally:
            temporary.unlink(missing_ok=True)
        self._header = header

    def _read(self) -> None:
        """Take in the records that are new since the last time."""
        try:
            with (self.folder / "index").open("rb") as file:
                header = file.readline(_LONGEST_HEADER)
                if self._header and header != self._header:
                    raise UnusableFileError(f"{self.folder} was made anew by another process")
                if not self._header:
                    self._read_header(header)
                file.seek(len(header) + len(self._checksum) * _RECORD)
                records = file.read()
            there = (self.folder / "rows").stat().st_size if records else 0
        except FileNotFoundError:
            if self._header:
                raise UnusableFileError(f"{self.folder} was deleted by another process") from None
            return
        for at in range(0, len(records) - _RECORD + 1, _RECORD):
            body = records[at : at + _BODY.size]
            (check,) = _CHECK.unpack_from(records, at + _BODY.size)
            number = len(self._checksum)
            if zlib.crc32(body) != check or (number + 1) * self.row_bytes > there:
                break  # the tail of a process that was killed
            digest, mirrored, checksum = _BODY.unpack(body)
            self._index[digest.hex(), mirrored] = number
            self._checksum.append(checksum)

    def _read_header(self, header: bytes) -> None:
        check, _, text = header.rstrip(b"\n").partition(b" ")
        try:
            said = json.loads(text)
            if not header.endswith(b"\n") or int(check, 16) != zlib.crc32(text):
                raise ValueError("checksum")
            if said[_NAME] != VERSION:
                raise UnusableFileError(
                    f"{self.folder} was written by another version of lookright (format {said[_NAME]}, not "
                    f"{VERSION})"
                )
            self.shape, self.dtype = tuple(said["shape"]), getattr(torch, said["dtype"])
            self.about = said["about"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnusableFileError(f"{self.folder} is damaged") from error
        self._header = header

    def _map(self) -> None:
        """Map all rows, (N, bytes of a row). What is mapped stays readable, whatever becomes of the file."""
        n = len(self._checksum)
        if len(self._bytes) < n:
            # Copy on write, as torch wants memory that it could write to; nobody does.
            self._bytes = np.memmap(self.folder / "rows", np.uint8, mode="c", shape=(n, self.row_bytes))


def _record(row: Row, checksum: int) -> bytes:
    digest, mirrored = row
    body = _BODY.pack(bytes.fromhex(digest), mirrored, checksum)
    return body + _CHECK.pack(zlib.crc32(body))


def _write_at(path: Path, start: int, data: bytes) -> None:
    """Write the end of a file, over whatever lies there."""
    path.touch()
    with path.open(
        "r+b"
    ) as file:  # "w" would cut off what others have mapped, "a" write behind a broken tail
        file.seek(start)
        file.write(data)
        file.truncate()
