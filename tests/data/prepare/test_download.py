"""A file is whole and checked, or it is not there; without a network, one message says what to do."""

import hashlib
import io
import json
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from archive_server import Served, serving

from lookright.data.prepare.download import NOTE, Archive, fetch, untar, unzip
from lookright.errors import DataError

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(CONTENT) as server:
        yield server


def nowhere(name: str = "data.zip") -> Archive:
    """An archive on a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Archive(f"http://127.0.0.1:{port}/{name}", len(CONTENT), hashlib.md5(CONTENT).hexdigest())


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_file_arrives_once_and_is_noted(served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    assert fetch(served.archive, folder).read_bytes() == CONTENT
    assert names(folder) == {"data.zip", NOTE}
    assert json.loads((folder / NOTE).read_text()) == {
        "data.zip": {
            "url": served.archive.url,
            "bytes": 5120,
            "md5": hashlib.md5(CONTENT).hexdigest(),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }
    }
    fetch(served.archive, folder)
    assert len(served.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_cut_off_goes_on(served: Served, ranges: bool, tmp_path: Path) -> None:
    served.cut_at, served.ranges = 2000, ranges
    with pytest.raises(DataError, match=r"did not arrive .*try again"):
        fetch(served.archive, tmp_path)
    assert names(tmp_path) == {"data.zip.part"}  # half a file has another name
    served.cut_at = None
    assert fetch(served.archive, tmp_path).read_bytes() == CONTENT
    assert served.asked == [None, "bytes=2000-"]
    assert "data.zip.part" not in names(tmp_path)


def test_a_file_that_was_whole_and_not_yet_named(tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    assert fetch(nowhere(), tmp_path).read_bytes() == CONTENT


def test_too_long_a_beginning_is_another_files(served: Served, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT * 2)
    with pytest.raises(DataError, match="did not arrive"):
        fetch(served.archive, tmp_path)
    assert fetch(served.archive, tmp_path).read_bytes() == CONTENT


def test_other_bytes_are_no_download(served: Served, tmp_path: Path) -> None:
    other = replace(served.archive, md5="0" * 32)
    with pytest.raises(DataError, match=f"md5 {served.archive.md5}; published is .*md5 0000.*try again"):
        fetch(other, tmp_path)
    assert not names(tmp_path)


def test_a_persons_file_is_checked_and_kept(served: Served, tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(CONTENT)
    fetch(nowhere(), tmp_path)  # by hand: no network is needed
    (tmp_path / "data.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"data.zip: 6 bytes.*delete the file, or download it by hand"):
        fetch(served.archive, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == b"<html>"


@pytest.mark.parametrize("url", [None, "http://no.such.host.invalid/data.zip"])
def test_without_a_network(url: str | None, tmp_path: Path) -> None:
    archive = nowhere() if url is None else replace(nowhere(), url=url)
    with pytest.raises(DataError) as error:
        fetch(archive, tmp_path)
    for part in (archive.url, "0 MB", archive.md5, "by hand", str(tmp_path)):
        assert part in str(error.value)
    assert not names(tmp_path)


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"annotations/{name}.json", text)
    return packed.getvalue()


def test_unzip_takes_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(wanted="[1]", other="[2]"))
    unzip(tmp_path / "a.zip", ["wanted.json"], tmp_path / "json")
    assert names(tmp_path / "json") == {"wanted.json"}
    assert (tmp_path / "json" / "wanted.json").read_text() == "[1]"
    with pytest.raises(DataError, match=r"holds no missing.json"):
        unzip(tmp_path / "a.zip", ["wanted.json", "missing.json"], tmp_path / "json")


def test_a_damaged_zip_leaves_nothing(tmp_path: Path) -> None:
    whole = zipped(wanted="[" + "1," * 500 + "1]")
    for broken in (whole[:-30], whole.replace(b"1,1,1,1", b"1,1,2,1", 1)):  # cut short; another checksum
        (tmp_path / "a.zip").write_bytes(broken)
        with pytest.raises(DataError, match=r"a.zip: cannot be unpacked .*; download it again"):
            unzip(tmp_path / "a.zip", ["wanted.json"], tmp_path / "json")
        assert not (tmp_path / "json").exists() or not names(tmp_path / "json")


def tarred(file: Path, *members: str) -> Path:
    with tarfile.open(file, "w") as archive:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = len(CONTENT)
            archive.addfile(info, io.BytesIO(CONTENT))
    return file


def test_untar(tmp_path: Path) -> None:
    untar(tarred(tmp_path / "a.tar", "val/1.jpg", "list.txt"), tmp_path)
    assert names(tmp_path) == {"a.tar", "val", "list.txt"}
    assert (tmp_path / "val" / "1.jpg").read_bytes() == CONTENT


def test_a_damaged_tar_leaves_nothing(tmp_path: Path) -> None:
    file = tarred(tmp_path / "a.tar", "val/1.jpg", "val/2.jpg")
    file.write_bytes(file.read_bytes()[:7000])
    with pytest.raises(DataError, match=r"a.tar: cannot be unpacked"):
        untar(file, tmp_path)
    with pytest.raises(DataError, match=r"a.tar: cannot be unpacked"):  # nor does it reach elsewhere
        untar(tarred(tmp_path / "a.tar", "../outside.jpg"), tmp_path / "in")
    assert names(tmp_path) <= {"a.tar", "in"}
