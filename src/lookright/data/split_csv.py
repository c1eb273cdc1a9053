"""The table split.csv: which file is of which class and in which split."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from lookright.data.annotations import Problem
from lookright.data.layout import SPLIT_NAMES

_COLUMNS = "file,class,split[,group]"


@dataclass(frozen=True)
class Row:
    """One line of split.csv."""

    line: int
    file: str
    class_name: str | None
    """None: the folder names the class"""
    split: str | None
    """None: the folders name the split, or it is made"""
    group: str | None


def read_split_csv(path: Path) -> tuple[list[Row], list[Problem]]:
    """Read split.csv: columns file, class, split and, optionally, group; others are passed over.

    `class` may be left out where folders name the classes, `split` where splits are to be made. Semicolons
    and tabs separate as well as commas, as spreadsheets write them. A table that cannot be used at all
    gives no rows and a fatal problem.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
        return [], [Problem(path, what, "save it as 'CSV UTF-8'", fatal=True)]
    except OSError as error:
        return [], [Problem(path, f"cannot be read ({error})", "check the file", fatal=True)]
    lines = text.splitlines()
    header = lines[0] if lines else ""
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        if "file" not in columns:
            what = f"has no column 'file'; its columns are: {', '.join(columns) or 'none'}"
            return [], [Problem(path, what, f"the first line has to be {_COLUMNS}", fatal=True)]
        for cells in reader:
            values = {name: (cells.get(name) or "").strip() for name in ("file", "class", "split", "group")}
            missing = [name for name in ("file", "class", "split") if name in columns and not values[name]]
            if None in cells or missing:
                what = f"line {reader.line_num}: " + (
                    f"no {' and no '.join(missing)}" if missing else "more cells than columns"
                )
                problems.append(Problem(path, what, f"each line has to be {_COLUMNS}", fatal=True))
                continue
            split = values["split"]
            rows.append(
                Row(
                    reader.line_num,
                    values["file"],
                    values["class"] or None,
                    SPLIT_NAMES.get(split.lower(), split) or None,
                    values["group"] or None,
                )
            )
    except csv.Error as error:
        what = f"line {reader.line_num}: {error}"
        problems.append(Problem(path, what, f"each line has to be {_COLUMNS}", fatal=True))
    if not rows and not problems:
        problems.append(
            Problem(path, "has no rows", "add lines, or delete it to have splits made", fatal=True)
        )
    return rows, problems
