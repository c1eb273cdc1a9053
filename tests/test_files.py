"""A file is the old one or the whole new one, whatever happens while it is written."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lookright.errors import ConfigError, DataError
from lookright.files import check_writable, replacing


@contextmanager
def full_disk(limit: int = 1000) -> Iterator[None]:
    """Let no file grow beyond some bytes: what a full disk does, from the operating system itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_makes_the_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "deep" / "a.txt"
    with replacing(file) as temporary:
        temporary.write_text("one")
    with replacing(file) as temporary:
        temporary.write_text("two")
        assert file.read_text() == "one", "the old one is there until the new one is whole"
    assert file.read_text() == "two"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("durable", [False, True])
def test_a_durable_file_is_on_the_disk_before_it_takes_the_others_place(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, synced = tmp_path / "a.txt", []
    file.write_text("old")
    monkeypatch.setattr("os.fsync", lambda of: synced.append((os.fstat(of).st_size, file.read_text())))
    with replacing(file, durable=durable) as temporary:
        temporary.write_text("the new one")
    assert synced == ([(11, "old")] if durable else [])
    assert file.read_text() == "the new one"


def test_a_folder_is_tried_out_and_left_as_it_was(tmp_path: Path) -> None:
    check_writable("out", tmp_path / "new" / "deep")
    check_writable("out", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("file", r"out: .*file is a file; give a folder"),
        ("new/file/deep", r"out: .*deep cannot be written \(Not a directory\); give another folder"),
        ("new/" + "x" * 300, r"out: .*xxx cannot be written \(File name too long\); give another folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path, place: str, told: str) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        folder.mkdir(exist_ok=True)
        (folder / "file").touch()
    with pytest.raises(ConfigError, match=told):
        check_writable("out", tmp_path / place)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "file", "new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("broken")])
def test_interrupted_while_writing(tmp_path: Path, error: BaseException | type[BaseException]) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["text", "safetensors"])
def test_full_disk(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as temporary:
            if kind == "text":
                temporary.write_text("x" * 5000)
            else:
                save_file({"w": torch.zeros(5000)}, temporary)

    with full_disk(), pytest.raises(DataError) as error:
        write()
    assert str(file) in str(error.value)
    assert "cannot be written" in str(error.value)
    assert "make room or choose another folder" in str(error.value)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_reason_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No space left on device"), replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with (
        pytest.raises(DataError, match="cannot be written"),
        replacing(tmp_path / "a" / "b.txt") as temporary,
    ):
        temporary.write_text("x")
