"""Small data sets to make others of: coloured photos with a marked square, in all splits."""

import csv
from pathlib import Path

import numpy as np
from data_files import save_mask, save_photo
from PIL import Image


def write_set(root: Path, classes: tuple[str, ...], per_split: dict[str, int], *, masks: bool = True) -> Path:
    """Photos of 40 x 32 pixels; a square of 12 pixels is marked, its place differs from photo to photo."""
    rows = []
    for class_name in classes:
        for split, count in per_split.items():
            for number in range(count):
                file = f"images/{class_name}/{split}{number}.png"
                save_photo(root / file, (40, 32))
                rows.append((file, class_name, split))
                if masks:
                    mask = np.zeros((32, 40), dtype=bool)
                    top, left = 4 + number % 12, 6 + number % 18
                    mask[top : top + 12, left : left + 12] = True
                    save_mask(root / file.replace("images", "masks", 1), mask)
    with (root / "split.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("file", "class", "split"), *rows])
    return root


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "split.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "prepared.json"
    }
