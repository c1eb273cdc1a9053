"""Read run folders: what was trained, with which options, and what its evaluation found."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lookright.config import TrainConfig
from lookright.engine.run_folder import RunFolder, to_options
from lookright.engine.tasks import Output
from lookright.errors import DataError
from lookright.metrics import Cell, Figure, PerImage
from lookright.types import Task

EVALUATION = "evaluation"

# The same folder may be given relative to another.
_PATHS = ("data", "annotations", "out", "from")


@dataclass(frozen=True)
class ImageResult:
    """What one run made of one image: the columns of `lookright.metrics.PerImage` that the report shows."""

    id: str
    file: Path
    label: str
    predicted: str
    probability: float
    """NaN where a number is predicted"""
    correct: bool | None
    """None where a number is predicted"""
    group: str
    iou: float
    """NaN where nothing relevant was marked"""
    cell: Cell | None
    """None where the IoU is not defined, or a number is predicted"""
    explained: str | None = None
    """multi-label: the class that the explanation is of"""

    @property
    def image(self) -> str:
        """Id of the image; in a multi-label task several results may be of one."""
        return self.id if self.explained is None else self.id.removesuffix(f"#{self.explained}")

    @property
    def label_names(self) -> list[str]:
        """Names of the true classes."""
        return _names(self.label, self.explained)

    @property
    def predicted_names(self) -> list[str]:
        """Names of the predicted classes."""
        return _names(self.predicted, self.explained)


def _names(text: str, explained: str | None) -> list[str]:
    return [text] if explained is None else [name for name in text.split(";") if name]


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run on one split."""

    folder: Path
    split: str
    images: int
    figures: Mapping[str, Figure]
    """accuracy, balanced_accuracy, ..., and worst_group_accuracy where the data has groups"""

    @cached_property
    def results(self) -> dict[str, ImageResult]:
        """Id of the result, mostly the image's -> what the run made of it."""
        path = self.folder / "per_image.csv"
        results = {result.id: result for result in _image_results(PerImage.from_csv(path))}
        if not results:
            raise DataError(f"{path}: holds no image; evaluate the run again")
        return results

    @cached_property
    def explanations(self) -> dict[str, NDArray[np.float32]]:
        """Id of the result -> its explanation, (h, w)."""
        path = self.folder / "explanations.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                ids, maps = arrays["id"], arrays["explanation"]
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(f"{path}: missing or damaged ({error}); evaluate the run again") from error
        return {str(id): explanation for id, explanation in zip(ids, maps, strict=True)}


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    folder: Path
    config: TrainConfig
    info: Mapping[str, Any]
    """run.json: command, versions, classes, status, best epoch, seconds"""
    log: Mapping[str, NDArray[np.float64]]
    """column of log.csv -> its value per epoch, NaN where it is empty"""
    evaluation: Evaluation
    other_evaluations: Mapping[str, Evaluation]
    """split -> evaluation, where the run was evaluated on more than one split"""

    @cached_property
    def options(self) -> dict[str, Any]:
        """The options under their names on the command line, paths absolute."""
        options = to_options(self.config)
        return {name.replace("_", "-"): self._absolute(name, value) for name, value in options.items()}

    def _absolute(self, name: str, value: Any) -> Any:
        return str(Path(value).absolute()) if name in _PATHS and value is not None else value

    @property
    def classes(self) -> list[str]:
        """The class names in the order of the logits."""
        return [str(name) for name in self.info["classes"]]

    @property
    def task(self) -> Task:
        """What was predicted."""
        return Output.from_facts(self.info).task

    @property
    def unit(self) -> str:
        """What figures of reasonability rest on."""
        return "annotated classes of images" if self.task is Task.MULTI_LABEL else "annotated images"

    @property
    def seconds(self) -> float:
        """How long the training took; NaN if unknown."""
        value = self.info.get("seconds")
        return math.nan if value is None else float(value)

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.info.get("status") == "finished"


def read_run(folder: Path) -> Run:
    """Read a run folder that was trained and evaluated.

    Raises:
        DataError: `folder` is no run folder, was not evaluated, or one of its files is damaged.
        CheckpointError: its config.yaml or run.json is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the run folders that 'lookright train' wrote")
    if not (folder / "config.yaml").is_file() or not (folder / "run.json").is_file():
        raise DataError(
            f"{folder}: not a run folder (config.yaml or run.json is missing); "
            "give the folders that 'lookright train --out' wrote"
        )
    if not (folder / EVALUATION / "metrics.json").is_file():
        raise DataError(f"{folder}: not evaluated yet; run 'lookright evaluate {folder}' first")
    files = RunFolder(folder)
    config, info = files.config(), files.facts()
    if not isinstance(info.get("classes"), list):
        raise DataError(f"{files.facts_file}: names no classes; it is damaged, train the run again")
    others = {
        path.name.removeprefix(f"{EVALUATION}-"): _evaluation(path)
        for path in sorted(folder.glob(f"{EVALUATION}-*"))
        if (path / "metrics.json").is_file()
    }
    return Run(folder, config, info, _log(files.log_file), _evaluation(folder / EVALUATION), others)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read run folders that can be compared: same data, same classes, evaluated on the same images.

    Raises:
        DataError: there is none, one cannot be read, one is given twice, or they cannot be compared.
    """
    if not folders:
        raise DataError("no run folder given; give at least one that 'lookright train' wrote")
    runs = [read_run(folder) for folder in folders]
    seen: dict[Path, Path] = {}
    for run in runs:
        if run.folder.resolve() in seen:
            raise DataError(f"{run.folder}: given twice; give each run folder once")
        seen[run.folder.resolve()] = run.folder
    for run in runs[1:]:
        _comparable(runs[0], run)
    return runs


def _comparable(first: Run, other: Run) -> None:
    pair = f"{first.folder} and {other.folder} cannot be compared"
    if first.task is not other.task:
        raise DataError(
            f"{pair}: one predicts {first.task.value}, the other {other.task.value}; report them apart"
        )
    if first.classes != other.classes:
        names = " and ".join(", ".join(run.classes) for run in (first, other))
        raise DataError(f"{pair}: their classes differ ({names}); report them apart")
    splits = first.evaluation.split, other.evaluation.split
    if splits[0] != splits[1]:
        raise DataError(
            f"{pair}: one was evaluated on split '{splits[0]}', the other on '{splits[1]}'; "
            "evaluate both with the same --split"
        )
    labels = [{id: r.label for id, r in run.evaluation.results.items()} for run in (first, other)]
    if labels[0] != labels[1]:
        raise DataError(
            f"{pair}: they were evaluated on different images ({first.evaluation.images} and "
            f"{other.evaluation.images}); evaluate both with the same --data"
        )


def _evaluation(folder: Path) -> Evaluation:
    path = folder / "metrics.json"
    content = _json(path)
    about = content.get("about") or {}
    try:
        figures = {
            name: Figure(math.nan if entry["value"] is None else float(entry["value"]), int(entry["n"]))
            for name, entry in content.items()
            if isinstance(entry, dict) and "value" in entry and "n" in entry
        }
        return Evaluation(folder, str(about["split"]), int(about["images"]), figures)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not written by 'lookright evaluate' ({error!r}); evaluate again") from error


def _image_results(rows: PerImage) -> Iterator[ImageResult]:
    for i, id in enumerate(rows.id):
        reasonable, correct = rows.reasonable[i], rows.correct[i]
        yield ImageResult(
            id=id,
            file=Path(rows.file[i]),
            label=rows.label[i],
            predicted=rows.predicted[i],
            probability=rows.probability[i],
            correct=correct,
            group=rows.group[i] or "",
            iou=rows.iou[i],
            cell=None if reasonable is None or correct is None else Cell.of(reasonable, correct),
            explained=None if rows.explained is None else rows.explained[i],
        )


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def _log(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([_number(row[name]) for row in rows]) for name in (rows[0] if rows else ())}
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it to report without curves") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); train or evaluate the run again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no figures but a {type(content).__name__}; evaluate the run again")
    return content
