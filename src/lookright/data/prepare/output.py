"""Writing a data folder: images, marks and split.csv, all of it or nothing."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.config import DataConfig
from lookright.data.annotations import Area
from lookright.errors import ConfigError
from lookright.files import open_csv, replacing_folder
from lookright.prepare_config import PrepareConfig

PREPARED = "prepared.json"
"""In every folder written here: what it was made with, and that it may be written again."""

QUALITY = 95
"""of JPEG; colours are stored at full resolution, so that a small marker keeps its own"""

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
_COLUMNS = ("file", "class", "split", "group")


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    folder: Path
    groups: dict[str, dict[str, int]]
    """split -> group -> number of images; the group is empty where there are none"""
    annotated: int
    """images with an annotation"""
    remarks: tuple[str, ...]
    """what was left out, and why"""

    @property
    def images(self) -> int:
        """How many images."""
        return sum(sum(counts.values()) for counts in self.groups.values())


@dataclass
class SetWriter:
    """Adds images to a data folder, one by one."""

    folder: Path
    """where it is written"""
    out: Path
    """where it will lie"""
    rows: list[dict[str, str]] = field(default_factory=list)
    annotated: int = 0
    remarks: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def add(
        self,
        image: Image.Image | Path,
        name: str,
        *,
        class_name: str,
        split: str,
        group: str = "",
        positive: Area | None = None,
        negative: Area | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        """Write one image with its marks.

        Args:
            image: pixels, written as JPEG of `QUALITY` or losslessly as `name` ends; or a file to copy
            name: file name, with its suffix, below the folder of the class
            class_name: its class
            split: train, val, test or another
            group: for per-group accuracy
            positive: (H, W) in [0, 1]; None: there is no annotation
            negative: (H, W) in [0, 1]; only beside `positive`, written where anything is marked
            origin: further columns of split.csv: what the image was made of
        """
        suffix = Path(name).suffix if isinstance(image, Path) else _written_suffix(name)
        stem = name.removesuffix(Path(name).suffix)
        key = f"{class_name}/{stem}"
        if key.lower() in self._taken:  # a.jpg and a.png, or a and A: their masks would be one file
            key += "-" + next(str(i) for i in range(2, 10**9) if f"{key}-{i}".lower() not in self._taken)
        self._taken.add(key.lower())
        file = self.folder / "images" / f"{key}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image, Path):
            shutil.copyfile(image, file)
        elif suffix in _JPEG_SUFFIXES:
            image.save(file, "JPEG", quality=QUALITY, subsampling=0)
        else:
            image.save(file)
        if positive is not None:
            self.annotated += 1
            _save_marks(self.folder / "masks" / key, positive)
            if negative is not None and negative.any():
                _save_marks(self.folder / "negatives" / key, negative)
        row = {"file": f"images/{key}{suffix}", "class": class_name, "split": split, "group": group}
        self.rows.append(row | dict(origin or {}))

    def remark(self, text: str) -> None:
        """Say something that a person should know of this folder."""
        self.remarks.append(text)

    def finish(self, made_with: Mapping[str, Any]) -> Prepared:
        """Write split.csv, and what the folder was made with."""
        columns = list(dict.fromkeys([*_COLUMNS, *(name for row in self.rows for name in row)]))
        if not any(row["group"] for row in self.rows):
            columns.remove("group")
        with open_csv(self.folder / "split.csv", "w") as table:
            writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        counts: dict[str, Counter[str]] = {}
        for row in self.rows:
            counts.setdefault(row["split"], Counter())[row["group"]] += 1
        groups = {split: dict(sorted(counter.items())) for split, counter in counts.items()}
        about = {**made_with, "groups": groups, "remarks": self.remarks}
        (self.folder / PREPARED).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return Prepared(self.out, groups, self.annotated, tuple(self.remarks))


@contextmanager
def writing(config: PrepareConfig) -> Iterator[SetWriter]:
    """Open a folder beside `config.out`; it takes that name when all of it has been written.

    Raises:
        ConfigError: no folder was named, or it is in use.
        DataError: it cannot be written. What was there is left as it was.
    """
    out = check_out(config)
    with replacing_folder(out) as unfinished:
        yield SetWriter(unfinished, out)


def check_out(config: PrepareConfig) -> Path:
    """The folder to write.

    Raises:
        ConfigError: no folder was named; it holds something that is not to be replaced, or what is read.
    """
    out = config.out
    if out is None:
        raise ConfigError("out: missing; give the data folder to write")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {out} is a file; name a folder that does not exist yet")
    if not out.is_dir() or not any(out.iterdir()):
        return out
    if not (out / PREPARED).is_file():
        raise ConfigError(
            f"out: {out} exists and holds something else; name a folder that does not exist yet"
        )
    if not config.overwrite:
        raise ConfigError(f"out: {out} exists; choose another folder, or --overwrite it")
    for name, read in asdict(config).items():
        if name != "out" and isinstance(read, Path) and read.resolve().is_relative_to(out.resolve()):
            raise ConfigError(f"out: {out} holds {read}, which is read; choose another folder")
    return out


def made_with(kind: str, config: PrepareConfig) -> dict[str, Any]:
    """The options that count, for `PREPARED`."""
    plain = {name: value for name, value in asdict(config).items() if name not in ("out", "overwrite")}
    defaults = asdict(DataConfig())
    return {"kind": kind} | {
        name: str(value) if isinstance(value, Path) else value
        for name, value in plain.items()
        if name not in defaults or value != defaults[name]
    }


def _written_suffix(name: str) -> str:
    """Photos stay JPEG; anything else becomes PNG, which loses nothing."""
    return ".jpg" if Path(name).suffix.lower() in _JPEG_SUFFIXES else ".png"


def _save_marks(path: Path, marks: NDArray[np.float32]) -> None:
    """Black and white where that says it all; graded marks as an array, to the bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if bool(np.isin(marks, (0, 1)).all()):
        Image.fromarray(marks > 0).save(f"{path}.png")
    else:
        np.save(f"{path}.npy", marks)
