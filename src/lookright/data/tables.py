"""The tables split.csv and labels.csv: which file shows what, and which split it is in."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from lookright.data.annotations import Problem
from lookright.data.layout import SPLIT_NAMES
from lookright.types import Task

SPLIT_CSV, LABELS_CSV = "split.csv", "labels.csv"

_SPLIT_COLUMNS = "file,class,split[,group]"
_LABELS_COLUMNS = "file,labels[,split,group] or file,value[,split,group]"


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int = field(compare=False)
    file: str = field(compare=False)
    split: str | None
    """None: the folders name the split, or it is made"""
    group: str | None
    class_name: str | None = None
    """None: the folder names the class"""
    labels: tuple[str, ...] = ()
    """names of all classes that the image shows"""
    value: float | None = None


def read_split_csv(path: Path) -> tuple[list[Row], list[Problem]]:
    """Read split.csv: columns file, class, split and, optionally, group; others are passed over.

    `class` may be left out where folders name the classes, `split` where splits are to be made. Semicolons
    and tabs separate as well as commas, as spreadsheets write them. A table that cannot be used at all
    gives no rows and a fatal problem.
    """
    _, cells, problems = _read(path, ("file", "class", "split"), _SPLIT_COLUMNS)
    rows = [
        Row(line, cell["file"], _split(cell), cell.get("group") or None, cell.get("class"))
        for line, cell in cells
    ]
    return rows, problems


def read_labels_csv(path: Path) -> tuple[Task, list[Row], list[Problem]]:
    """Read labels.csv: file, and either labels (names of classes with ; between) or value (a number).

    `split` and `group` are as in split.csv. An empty cell in `labels` means that none of the classes is
    there. A table that cannot be used at all gives no rows and a fatal problem.
    """
    columns, cells, problems = _read(path, ("file", "value", "split"), _LABELS_COLUMNS)
    is_value = "value" in columns
    task = Task.REGRESSION if is_value else Task.MULTI_LABEL
    if columns and is_value == ("labels" in columns):
        what = "has both columns 'labels' and 'value'" if is_value else "has neither 'labels' nor 'value'"
        what += f"; its columns are: {', '.join(columns)}"
        remedy = f"the first line has to be {_LABELS_COLUMNS}"
        return task, [], [Problem(path, what, remedy, fatal=True)]
    rows = []
    for line, cell in cells:
        value = _number(cell["value"]) if is_value else None
        if is_value and value is None:
            what = f"line {line}: {cell['value']!r} is no finite number"
            problems.append(Problem(path, what, "write it like 3.5", fatal=True))
            continue
        names = (name.strip() for name in cell.get("labels", "").split(";"))
        labels = tuple(sorted({name for name in names if name}))
        rows.append(Row(line, cell["file"], _split(cell), cell.get("group") or None, None, labels, value))
    return task, rows, problems


def _read(
    path: Path, filled: tuple[str, ...], expected: str
) -> tuple[list[str], list[tuple[int, dict[str, str]]], list[Problem]]:
    """The columns, and each line with its number.

    Args:
        path: of the table
        filled: columns that have no empty cell, where they are there at all
        expected: what the columns have to be, for messages
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
        return [], [], [Problem(path, what, "save it as 'CSV UTF-8'", fatal=True)]
    except OSError as error:
        return [], [], [Problem(path, f"cannot be read ({error})", "check the file", fatal=True)]
    lines = text.splitlines()
    header = lines[0] if lines else ""
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[Problem] = []
    columns: list[str] = []
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        if "file" not in columns:
            what = f"has no column 'file'; its columns are: {', '.join(columns) or 'none'}"
            return [], [], [Problem(path, what, f"the first line has to be {expected}", fatal=True)]
        for cells in reader:
            values = {name: (cells.get(name) or "").strip() for name in columns}
            missing = [name for name in filled if name in columns and not values[name]]
            if None in cells or missing:
                what = f"line {reader.line_num}: " + (
                    f"no {' and no '.join(missing)}" if missing else "more cells than columns"
                )
                problems.append(Problem(path, what, f"each line has to be {expected}", fatal=True))
                continue
            rows.append((reader.line_num, values))
    except csv.Error as error:
        what = f"line {reader.line_num}: {error}"
        problems.append(Problem(path, what, f"each line has to be {expected}", fatal=True))
    if not rows and not problems:
        remedy = "add lines, or delete it to have folders decide"
        problems.append(Problem(path, "has no rows", remedy, fatal=True))
    return columns, rows, problems


def _split(cells: dict[str, str]) -> str | None:
    split = cells.get("split", "")
    return SPLIT_NAMES.get(split.lower(), split) or None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
