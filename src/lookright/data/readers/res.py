"""RES's own files: attention_label/*.csv, a matrix per image (Gao et al., KDD 2022)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from lookright.config import DataConfig
from lookright.data.annotations import Grid, Marks, Matrix, Problem, size_text
from lookright.data.layout import Photos
from lookright.data.readers.sources import annotation_files, one_photo
from lookright.errors import DataError

_COLUMNS = ("img_idx", "attention", "img_check")
_NEGATIVE = "counterfactual"
_GOOD = "good"
_LONGEST_CELL = 1 << 30


def read_res(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read RES's tables: columns img_idx (file name), attention (a JSON matrix) and img_check.

    Only rows whose img_check is 'good' count. A file with 'counterfactual' in its name holds negatives, the
    others positives. The matrix covers the whole image, whatever the shape of either; its numbers are in
    [0, 1]. Where several good rows name one image on one side, the last one counts.

    Raises:
        DataError: there is no csv file.
    """
    sides: dict[bool, dict[str, Grid]] = {False: {}, True: {}}
    problems: list[Problem] = []
    _, files = annotation_files(config, photos, ".csv", ("attention_label",))
    for file in files:
        negative = _NEGATIVE in file.stem.lower()
        found, more = _read_table(file, photos)
        sides[negative].update(found)
        problems += more
    marks: dict[str, Marks] = {}
    for photo_id in sides[False].keys() | sides[True].keys():
        positive, negative_side = sides[False].get(photo_id), sides[True].get(photo_id)
        marks[photo_id] = Matrix(positive, negative_side, source=f"attention of {photo_id}")
    return marks, problems


def _read_table(file: Path, photos: Photos) -> tuple[dict[str, Grid], list[Problem]]:
    found: dict[str, Grid] = {}
    problems: list[Problem] = []
    # The limit is global and by default 128 KiB, less than one matrix of 224 x 224.
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                there = ", ".join(reader.fieldnames or []) or "none"
                what = f"no column {', '.join(missing)}; its columns are: {there}"
                return {}, [Problem(file, what, "see docs/data.md for RES's layout", fatal=True)]
            for row in reader:
                if (row["img_check"] or "").strip().lower() != _GOOD:
                    continue
                where = f"line {reader.line_num}: "
                photo = one_photo(photos, [row["img_idx"] or ""], file, where)
                if isinstance(photo, Problem):
                    problems.append(photo)
                    continue
                try:
                    matrix = _matrix(row["attention"] or "")
                except DataError as error:
                    problems.append(
                        Problem(file, f"{where}{error}", "the row is left out: correct or delete it")
                    )
                    continue
                if photo.id in found:
                    what = f"{where}{photo.id} was annotated further up already"
                    problems.append(Problem(file, what, "the last row counts; delete the others"))
                found[photo.id] = matrix
    except UnicodeDecodeError as error:
        problems.append(
            Problem(file, f"not UTF-8 text (byte {error.start})", "save it as 'CSV UTF-8'", fatal=True)
        )
    except (csv.Error, OSError) as error:
        problems.append(Problem(file, f"broken csv ({error})", "export it again", fatal=True))
    finally:
        csv.field_size_limit(limit)
    return found, problems


def _matrix(text: str) -> Grid:
    try:
        matrix = np.asarray(json.loads(text), dtype=np.float32)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"attention is not a JSON matrix ({error})") from error
    if matrix.ndim != 2 or matrix.size == 0:
        raise DataError(f"attention has the shape {matrix.shape}; it has to be a matrix")
    if not (matrix.min() >= 0 and matrix.max() <= 1):
        low, high = matrix.min(), matrix.max()
        raise DataError(f"attention of {size_text(matrix)} from {low:g} to {high:g}; it has to be in [0, 1]")
    return matrix.astype(np.uint8) if np.isin(matrix, (0, 1)).all() else matrix  # a quarter of the memory
