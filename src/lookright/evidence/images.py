"""Differences image by image, from the rows of the test images that each run left."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookright.errors import DataError
from lookright.evidence.results import Group, Results
from lookright.evidence.statistics import Interval, bootstrap_images, bootstrap_worst_group

_COLUMNS = {"accuracy": "correct", "iou": "iou", "epg": "epg"}
"""measures that are means over images -> their column"""
_WORST = "worst_group_accuracy"
_WORDS = {"true": 1.0, "false": 0.0, "": math.nan}


def image_interval(
    results: Results, one: tuple[Group, str], other: tuple[Group, str], seeds: Sequence[int], measure: str
) -> Interval | None:
    """Interval of a paired difference over the test images; each keeps all of its seeds.

    Args:
        results: whose folder holds images/RUN.csv
        one: a cell
        other: the cell that it is compared with
        seeds: that both have
        measure: what is compared: a mean over images, or the smallest of groups of them

    Returns:
        None where the measure is neither, rows are gone, or the images are not the same

    Raises:
        DataError: a file is damaged.
    """
    if measure not in (*_COLUMNS, _WORST):
        return None
    files = [_file(results, *cell, seed) for cell in (one, other) for seed in seeds]
    column = _COLUMNS.get(measure, "correct")
    read = [_read(file, column) for file in files if file.is_file()]
    if len(read) < len(files) or any(images.keys() != read[0].keys() for images in read):
        return None
    ids = list(read[0])
    table = np.array([[images[id][0] for id in ids] for images in read])
    ours, theirs = table[: len(seeds)], table[len(seeds) :]
    if measure != _WORST:
        return bootstrap_images(ours - theirs)
    return bootstrap_worst_group(ours, theirs, [read[0][id][1] for id in ids])


def _file(results: Results, group: Group, entry: str, seed: int) -> Path:
    row = results.row(group, entry, seed)
    return results.folder / "images" / f"{(row or {}).get('run')}.csv"


def _read(file: Path, column: str) -> dict[str, tuple[float, str]]:
    """Image -> its value and its group."""
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = csv.DictReader(text)
            return {row["id"]: (_number(row[column]), row.get("group") or "") for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise DataError(
            f"{file}: {column} cannot be read ({error}); put it back, or delete the file to do without it"
        ) from error


def _number(text: str) -> float:
    return _WORDS[text] if text in _WORDS else float(text)
