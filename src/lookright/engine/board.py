"""The log as TensorBoard shows it, where the extra is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lookright.errors import ConfigError


def find_writer() -> Callable[[Path], Any]:
    """Give what opens a TensorBoard folder to write to; importing it takes a moment.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "tensorboard: not installed; pip install 'lookright[tensorboard]', or leave --tensorboard out"
        ) from error
    return SummaryWriter


class Board:
    """Writes epochs to a TensorBoard folder.

    Args:
        folder: where to write

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = find_writer()(folder)

    def write(self, row: Mapping[str, float | int | None]) -> None:
        """Add one epoch."""
        for name, value in row.items():
            if value is not None and name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"] or 0))
        self._writer.flush()
