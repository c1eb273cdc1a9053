"""Fetching published archives: a file is whole and checked, or it is not there."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import urllib.request
import uuid
import zipfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError

from tqdm.auto import tqdm

from lookright.errors import DataError
from lookright.files import replacing

NOTE = "downloads.json"
"""Beside what was fetched: from where, how large, which checksums."""

_CHUNK = 1 << 20
_PATIENCE = 30.0  # seconds without a byte
_PARTIAL = 206
_PAST_THE_END = 416


@dataclass(frozen=True)
class Archive:
    """A file that a data set is published as."""

    url: str
    size: int
    """bytes"""
    md5: str

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.url).name

    @property
    def about(self) -> str:
        """What to look for when it is fetched by hand."""
        return f"{self.url} ({self.size / 1e6:,.0f} MB, md5 {self.md5})"


def fetch(archive: Archive, folder: Path) -> Path:
    """Download an archive, unless it is there; what was fetched is noted in `NOTE`.

    The bytes go to a file of another name, which takes the archive's once size and md5 are right. A download
    that was cut off goes on where it stopped, if the server can do that.

    Returns:
        the archive in `folder`

    Raises:
        DataError: no network, a broken connection, a full disk, or other bytes than were published; the
            message says what to download by hand, and where to put it.
    """
    target = folder / archive.name
    partial = folder / f"{archive.name}.part"
    if target.is_file():
        _check(archive, target)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not partial.is_file() or partial.stat().st_size != archive.size:
            _receive(archive, partial)
    except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
        raise DataError(
            f"download: {archive.url} did not arrive ({getattr(error, 'reason', None) or error}); try again, "
            f"or download {archive.about} by hand, put it into {folder}, and give the same command again"
        ) from error
    digests = _check(archive, partial)
    partial.replace(target)
    _note(archive, folder, digests)
    return target


def _receive(archive: Archive, partial: Path) -> None:
    start = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "lookright"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(archive.url, headers=headers)
    try:
        # urlopen keeps the proxies of its first call for ever
        response = urllib.request.build_opener().open(request, timeout=_PATIENCE)
    except HTTPError as error:
        if error.code == _PAST_THE_END:  # what is there is longer than the file: it is another one's
            partial.unlink(missing_ok=True)
        raise
    with response:
        goes_on = response.status == _PARTIAL
        with (
            partial.open("ab" if goes_on else "wb") as file,
            tqdm(
                desc=archive.name,
                total=archive.size,
                initial=start if goes_on else 0,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if (got := partial.stat().st_size) < archive.size:
        raise OSError(f"the connection broke after {got:,} of {archive.size:,} bytes")


def _check(archive: Archive, file: Path) -> dict[str, str]:
    """The checksums of a file.

    Raises:
        DataError: it is not the archive. A file of ours is removed, one of a person's is not.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
    if file.stat().st_size != archive.size or md5.hexdigest() != archive.md5:
        ours = file.name != archive.name
        what = f"{file}: {file.stat().st_size:,} bytes, md5 {md5.hexdigest()}; published is {archive.about}"
        if ours:
            file.unlink()
        raise DataError(f"{what}; {'try again' if ours else 'delete the file'}, or download it by hand")
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


def _note(archive: Archive, folder: Path, digests: dict[str, str]) -> None:
    notes: dict[str, object] = {}
    with suppress(OSError, ValueError):
        notes = dict(json.loads((folder / NOTE).read_text(encoding="utf-8")))
    notes[archive.name] = {"url": archive.url, "bytes": archive.size, **digests}
    with replacing(folder / NOTE) as temporary:
        temporary.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def unzip(archive: Path, wanted: Collection[str], folder: Path) -> None:
    """Unpack files of a zip archive, whatever folder they lie in there; each is whole or not there.

    Args:
        archive: the zip file
        wanted: file names
        folder: where they are written

    Raises:
        DataError: the archive is damaged or lacks one of them; the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = {PurePosixPath(name).name: name for name in packed.namelist()}
            if missing := sorted(set(wanted) - members.keys()):
                raise DataError(f"{archive}: holds no {missing[0]}; is it another archive?")
            for name in sorted(wanted):
                with (
                    replacing(folder / name) as temporary,
                    packed.open(members[name]) as content,
                    temporary.open("wb") as file,
                ):
                    shutil.copyfileobj(content, file, _CHUNK)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{archive}: cannot be unpacked ({error}); download it again") from error


def untar(archive: Path, folder: Path) -> None:
    """Unpack a tar archive; what it holds at its top is whole or not there.

    Raises:
        DataError: the archive is damaged, or the disk is full.
    """
    unfinished = folder / f".{archive.name}.{uuid.uuid4().hex}"
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(unfinished, filter="data")
        for entry in sorted(unfinished.iterdir()):
            if not (folder / entry.name).exists():
                entry.rename(folder / entry.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); make room, or download it again"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
