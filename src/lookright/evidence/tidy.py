"""All figures of a report as one tidy table, and the rows of its runs as another, for machines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from lookright.evidence.compare import Comparison, mean_of
from lookright.evidence.plan import PATHS
from lookright.evidence.results import Results
from lookright.evidence.statistics import Interval
from lookright.evidence.table import Row
from lookright.files import replacing

_BEHIND = (
    *("against", "measure", "seeds", "value", "low", "high", "p", "p_holm"),
    *("images", "images_low", "images_high"),
)


def write_tidy(path: Path, results: Results, comparisons: Sequence[Comparison]) -> None:
    """Write means (`kind` is mean) and paired differences (difference), each with its 95 % interval.

    Raises:
        DataError: it cannot be written.
    """
    axes = [axis for axis in results.grid.axes if axis != results.grid.compare]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", *axes, results.grid.compare, *_BEHIND])
        for group in results.groups:
            for entry in results.entries(group):
                for measure in (*results.measures(group), "annotated_images", "train_seconds"):
                    mean = mean_of(results, group, entry, measure)
                    if mean.n:
                        tail = ["", "", "", "", ""]
                        writer.writerow(["mean", *group.key, entry, "", measure, *_cells(mean), *tail])
        for c in comparisons:
            images = (
                ["", "", ""] if c.images is None else [c.images.n, _text(c.images.low), _text(c.images.high)]
            )
            head = ["difference", *c.group.key, c.entry, c.against, c.measure]
            writer.writerow([*head, *_cells(c.difference), _text(c.p), _text(c.corrected), *images])


def write_rows(path: Path, results: Results) -> None:
    """Write a row for each finished run, those that choose hyperparameters first; gzipped csv.

    Columns are those of results.csv; paths in the options are names alone. The same rows give the same bytes.

    Raises:
        DataError: it cannot be written.
    """
    rows = [row for row in (*results.choosing, *results.final) if row["status"] == "finished"]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_without_paths(row) for row in rows)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _without_paths(row: Row) -> dict[str, str]:
    options = json.loads(row.get("options") or "{}")
    named = {
        name: Path(str(value)).name if name in PATHS and value else value for name, value in options.items()
    }
    return {**row, "options": json.dumps(named)}


def _cells(interval: Interval) -> list[str]:
    return [str(interval.n), _text(interval.mean), _text(interval.low), _text(interval.high)]


def _text(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
