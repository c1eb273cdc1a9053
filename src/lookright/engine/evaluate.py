"""What a trained run is worth on a split: performance, reasonability, and every image's share of both."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import lookright
from lookright.config import DataConfig
from lookright.data import AnnotationSet
from lookright.engine.channels_last import place
from lookright.engine.faithfulness import FaithfulnessOptions, check_supported, measure_faithfulness
from lookright.engine.features import FeatureStore
from lookright.engine.inference import Inference, infer
from lookright.engine.run_images import cell_evidence, images_of, pick_device, stored_trunk
from lookright.engine.trained_run import open_run
from lookright.errors import ConfigError, DataError
from lookright.files import replacing
from lookright.metrics import (
    Faithfulness,
    PerImage,
    multilabel_rows,
    regression_rows,
    summarize,
    summarize_multilabel,
    summarize_regression,
)
from lookright.types import Task


def evaluate(
    path: Path,
    *,
    split: str = "test",
    data: DataConfig | None = None,
    out: Path | None = None,
    batch_size: int = 32,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
    store: FeatureStore | None = None,
    faithfulness: FaithfulnessOptions | None = None,
) -> Path:
    """Evaluate the best checkpoint of a run.

    Writes `metrics.json` (each figure with the number of images it rests on), `per_image.csv`, and
    `explanations.npz` (`id`, and the raw map of the predicted class, or of the number, (N, h, w) float32).
    In a multi-label task there is one row and one map per image and annotated class, their id ID#CLASS; an
    image without annotation has one of the first class that it shows. With `faithfulness`, which
    takes 2 steps + 6 more passes of the network per image, also `faithfulness.csv`, a row per image.

    Args:
        path: the run folder
        split: which images, as split.csv names them
        data: other data than the run's, with the same classes
        out: folder to write; by default RUN/evaluation, or RUN/evaluation-SPLIT for another split than test
        batch_size: images at a time, at least 1
        device: auto, cpu, cuda or mps
        workers: processes that load images
        progress: show a bar
        store: features of the frozen part that runs share; by default those that the run's options name
        faithfulness: how images are changed to see whether the network uses what is marked; None leaves it
            out (see `lookright.engine.faithfulness.measure_faithfulness`)

    Returns:
        the folder written

    Raises:
        CheckpointError, DataError: no such run or split, or data of another task or other classes.
        ConfigError: the folder holds the evaluation of other data, faithfulness cannot be measured, or an
            option is out of its range.

    Example:
        >>> import tempfile
        >>> from lookright.data import write_decoy_digits
        >>> from lookright.config import TrainConfig
        >>> from lookright.engine.train import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "all", "image_size": 32}
        ...     run = train(TrainConfig(data=data, out=Path(folder, "run"), epochs=1, **network)).path
        ...     figures = json.loads((evaluate(run, progress=False) / "metrics.json").read_text())
        >>> figures["accuracy"]["n"], figures["iou"]["n"]
        (10, 10)
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size: got {batch_size}, need 1 or more")
    if workers < 0:
        raise ConfigError(f"workers: got {workers}, need 0 or more")
    run = open_run(path)
    if data is not None and data.data is None:
        raise ConfigError("data: missing; annotations of other data than the run's need their photos: --data")
    config = run.config if data is None else data
    about = {"split": split, "data": str(Path(str(config.data)).resolve())}
    folder = run.folder.evaluation(split) if out is None else out
    _refuse_another(folder, about)
    annotation_set, dataset = images_of(run, split, config)
    if faithfulness is not None:
        check_supported(dataset, run.output)
    where = pick_device(device)
    place(run.classifier.network, where)
    cells = cell_evidence(run)
    explainers = [run.explainer] if cells is None else [run.explainer, cells.explainer]
    trunk = stored_trunk(run, explainers, dataset, store)
    result = infer(
        run.explainer,
        dataset,
        batch_size=batch_size,
        device=where,
        workers=workers,
        progress=split if progress else None,
        output=run.output,
        trunk=trunk,
        cells=cells,
    )
    rows, figures = tell(result, annotation_set)
    figures["about"] = about | {
        "task": run.output.task.value,
        "images": len(dataset),
        "annotated": dataset.annotated_images,
        "checkpoint": str(run.folder.best),
        "lookright": lookright.__version__,
    }
    changed = None
    if faithfulness is not None:
        changed = measure_faithfulness(
            run.classifier.network,
            dataset,
            result,
            run.classes,
            faithfulness,
            output=run.output,
            batch_size=batch_size,
            progress="faithfulness" if progress else None,
        )
        figures |= changed.summary()
        figures["faithfulness"]["options"] = asdict(faithfulness)
    write_evaluation(folder, figures, rows, rows.id, result.explanation.numpy(), changed)
    return folder


def tell(result: Inference, annotation_set: AnnotationSet) -> tuple[PerImage, dict[str, Any]]:
    """Give what an inference comes to: a row per image, and what metrics.json holds."""
    items = {item.id: item for item in annotation_set.items}
    files = [str(items[id].path) for id in result.id]
    groups = [items[id].group for id in result.id]
    classes, label, prediction = annotation_set.classes, result.label, result.probabilities
    if result.rows is not None:
        rows = multilabel_rows(
            ids=result.id,
            files=files,
            labels=label,
            probabilities=prediction,
            classes=classes,
            rows=result.rows,
            annotated=result.annotated,
            groups=groups,
            localization=result.localization,
        )
        return rows, summarize_multilabel(rows, prediction, label, classes, groups)
    if annotation_set.task is Task.REGRESSION:
        predicted = prediction[:, 0]
        rows = regression_rows(
            ids=result.id,
            files=files,
            values=label,
            predicted=predicted,
            annotated=result.annotated,
            groups=groups,
            localization=result.localization,
        )
        return rows, summarize_regression(rows, predicted, label, groups)
    rows = PerImage.of(
        ids=result.id,
        files=files,
        labels=label,
        probabilities=prediction,
        classes=classes,
        annotated=result.annotated,
        groups=groups,
        localization=result.localization,
        outside=result.outside,
    )
    return rows, summarize(rows, prediction, classes)


def _refuse_another(folder: Path, about: dict[str, str]) -> None:
    """An evaluation may be made again; it may not take the place of that of other data."""
    try:
        there = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["about"]
        same = all(there[name] == value for name, value in about.items())
    except (OSError, ValueError, KeyError, TypeError):
        return  # none there, or a damaged one, which is no loss
    if not same:
        raise ConfigError(
            f"out: {folder} holds the evaluation of {there['data']}, split {there['split']}; "
            "give another --out FOLDER"
        )


def write_evaluation(
    folder: Path,
    figures: dict[str, Any],
    rows: PerImage,
    ids: tuple[str, ...],
    maps: np.ndarray[Any, Any],
    faithfulness: Faithfulness | None = None,
) -> None:
    """Write the files of an evaluation, in place of those of an earlier one.

    `metrics.json` goes first and comes last: where it is, the others are there and of the same evaluation.

    Raises:
        DataError: a file cannot be written.
    """
    _remove(folder / "metrics.json")
    if faithfulness is None:
        _remove(folder / "faithfulness.csv")
    else:
        faithfulness.to_csv(folder / "faithfulness.csv")
    rows.to_csv(folder / "per_image.csv")
    with replacing(folder / "explanations.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, id=np.array(ids), explanation=maps.astype(np.float32))
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be replaced ({error.strerror}); make the folder writable or choose another one"
        ) from error
