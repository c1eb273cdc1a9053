"""Writing files so that nothing of a user's is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from lookright.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a temporary sibling, then move it into place: the file is the old one or the whole new one.

    Args:
        path: the file to write or replace; its folder is made

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
        temporary.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors wraps a full disk in an error of its own
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be written ({reason}); make room or choose another folder"
        ) from error
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to clear away either
            temporary.unlink(missing_ok=True)
