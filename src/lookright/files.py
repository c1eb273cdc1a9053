"""Writing files so that nothing of a user's is lost."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TextIO

from safetensors import SafetensorError

from lookright.errors import ConfigError, DataError


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write to a temporary sibling, then move it into place: the file is the old one or the whole new one.

    Args:
        path: the file to write or replace; its folder is made
        durable: whether that holds when the power fails too: the new file is on the disk before it takes the
            old one's place, which takes some 5 ms

    Raises:
        DataError: the disk is full or the folder cannot be written; the old file is still there.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(file) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> file.read_text()
        'whole'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors wraps a full disk in an error of its own
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be written ({reason}); make room or choose another folder"
        ) from error
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to clear away either
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Write to a folder beside it, which takes its place and its name when all is written.

    An interruption leaves no half a folder that looks whole.

    Args:
        path: the folder to write, or to replace with all that is in it

    Raises:
        DataError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as there:
        ...     with replacing_folder(Path(there, "set")) as folder:
        ...         _ = (folder / "split.csv").write_text("file,class")
        ...     [file.name for file in Path(there, "set").iterdir()]
        ['split.csv']
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if path.exists():
            shutil.rmtree(path)
        unfinished.rename(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error}); free some space or name another folder"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_writable(argument: str, folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before the work whose outcome goes there.

    What is missing of it is made to find out, and taken away again.

    Args:
        argument: name of the option that the folder was given for, for the message
        folder: there or not

    Raises:
        ConfigError: it is a file, or cannot be made or written.

    Example:
        >>> check_writable("out", Path(__file__))
        Traceback (most recent call last):
        ...
        lookright.errors.ConfigError: out: ...files.py is a file; give a folder
    """
    made: list[Path] = []
    try:
        if folder.is_file():
            raise ConfigError(f"{argument}: {folder} is a file; give a folder")
        made += [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{argument}: {folder} cannot be written ({error.strerror or error}); give another folder"
        ) from error
    finally:
        for part in made:
            with suppress(OSError):  # it was not made, or somebody else has put something into it
                part.rmdir()


def open_csv(path: Path, mode: Literal["r", "w"] = "r") -> TextIO:
    """Open a table. A file name in it that is not UTF-8 stands there byte by byte, and is read as it was.

    Args:
        path: the file
        mode: r or w

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> name = os.fsdecode(bytes([0xE9]) + b".jpg")
        >>> with open_csv(file, "w") as table:
        ...     _ = table.write(name)
        >>> with open_csv(file) as table:
        ...     table.read() == name
        True
    """
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")


def write_html(path: Path, page: str) -> None:
    r"""Write a page. Bytes of a file name that are no UTF-8 are shown as \udcff.

    Args:
        path: the file to write or replace
        page: HTML

    Raises:
        DataError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Collection[str] = ()) -> None:
    """Write a table, a header first. None and NaN are empty, numbers have six digits, true is a word.

    Args:
        path: the file to write or replace
        rows: each with the same columns
        columns: their names, where there may be no row

    Raises:
        DataError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> write_csv(file, [{"id": "a", "iou": 1 / 3, "right": True, "group": None}])
        >>> file.read_text().split()
        ['id,iou,right,group', 'a,0.333333,true,']
    """
    with replacing(path) as temporary, open_csv(temporary, "w") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0] if rows else columns)
        writer.writerows([_text(value) for value in row.values()] for row in rows)


def _text(value: object) -> str:
    if value is None or value != value:  # NaN alone differs from itself
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
