"""Differences image by image, from the rows of the test images that each run left."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from lookright.errors import DataError
from lookright.evidence.results import Group, Results
from lookright.evidence.statistics import Interval, bootstrap_images

_COLUMNS = {"accuracy": "correct", "iou": "iou", "epg": "epg"}
"""measures that are means over images -> their column"""
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
        measure: what is compared

    Returns:
        None where the measure is no mean over images, rows are gone, or the images are not the same

    Raises:
        DataError: a file is damaged.
    """
    if measure not in _COLUMNS:
        return None
    rows: list[dict[str, float]] = []
    for seed in seeds:
        ours, theirs = (_values(results, *cell, seed, _COLUMNS[measure]) for cell in (one, other))
        if ours is None or theirs is None or ours.keys() != theirs.keys():
            return None
        if rows and ours.keys() != rows[0].keys():
            return None
        rows.append({id: value - theirs[id] for id, value in ours.items()})
    return bootstrap_images([[row[id] for id in rows[0]] for row in rows])


def _values(results: Results, group: Group, entry: str, seed: int, column: str) -> dict[str, float] | None:
    row = results.row(group, entry, seed)
    file = results.folder / "images" / f"{(row or {}).get('run')}.csv"
    return _read(file, column) if file.is_file() else None


def _read(file: Path, column: str) -> dict[str, float]:
    try:
        with file.open(encoding="utf-8", newline="") as text:
            return {row["id"]: _number(row[column]) for row in csv.DictReader(text)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise DataError(
            f"{file}: {column} cannot be read ({error}); put it back, or delete the file to do without it"
        ) from error


def _number(text: str) -> float:
    return _WORDS[text] if text in _WORDS else float(text)
