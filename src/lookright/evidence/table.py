"""The one table of an experiment, results.csv: a row per run, whole after each of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from lookright.errors import DataError
from lookright.files import replacing

Row = Mapping[str, str]

FIXED = (
    *("stage", "run", "status", "error", "seed", "fingerprint", "options", "chosen", "date"),
    *("lookright", "commit", "torch", "python", "device", "processor", "threads"),
    *("train_images", "annotated_images"),
    *("test_images", "best_epoch", "train_seconds", "evaluate_seconds", "seconds", "waited"),
)
"""columns beside those of the axes and the measures"""


class Table:
    """Rows by the fingerprint of their run.

    Args:
        path: results.csv; it need not exist

    Raises:
        DataError: the file is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.csv"
        >>> Table(path).add({"fingerprint": "f", "status": "finished", "accuracy": "0.5"})
        >>> again = Table(path)
        >>> again.finished("f"), number(again.rows["f"], "accuracy"), again.finished("g")
        (True, 0.5, False)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if not path.exists():
            return
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    if None in row or None in row.values():
                        raise ValueError(f"row {len(self.rows) + 1} has too many or too few columns")
                    self.rows[row["fingerprint"]] = row
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); put it back, or move it away") from error

    def add(self, row: Row) -> None:
        """Add a row, or replace that of the same run, and write the file: it is the old or the whole new one.

        Raises:
            DataError: it cannot be written.
        """
        self.rows[row["fingerprint"]] = row
        there = dict.fromkeys(column for each in self.rows.values() for column in each)
        with replacing(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(there), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows.values())

    def finished(self, fingerprint: str) -> bool:
        """Whether a run has its figures here."""
        row = self.rows.get(fingerprint)
        return row is not None and row["status"] == "finished"


def number(row: Row | None, column: str) -> float:
    """A number of a row; NaN where it has none."""
    text = (row or {}).get(column) or ""
    return float(text) if text else math.nan
