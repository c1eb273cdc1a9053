"""What a trained run is worth on a split: performance, reasonability, and every image's share of both."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lookright
from lookright.config import DataConfig, TrainConfig
from lookright.data import AnnotationSet, ExplanationDataset
from lookright.data.shards import find_shards, read_shard_items
from lookright.data.stream import Images
from lookright.engine.channels_last import place
from lookright.engine.faithfulness import FaithfulnessOptions, check_supported, measure_faithfulness
from lookright.engine.features import FeatureStore
from lookright.engine.inference import Inference, infer
from lookright.engine.setup import make_dataset, read_data
from lookright.engine.streaming import make_stream
from lookright.engine.trained_run import ExplainedClassifier, TrainedRun, open_run
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.errors import ConfigError, DataError
from lookright.explainers import CellEvidence, Explainer, LayerExplainer
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
from lookright.models import apply_scope
from lookright.types import Task

log = logging.getLogger("lookright")


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
        batch_size: images at a time
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
        ConfigError: the folder holds the evaluation of other data, or faithfulness cannot be measured.
    """
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


def cell_evidence(run: ExplainedClassifier) -> CellEvidence | None:
    """What every cell says for every class, where the network of a single-label run tells it exactly.

    Returns:
        None, and the log says so, if what follows the target layer is not pooling and one linear layer
    """
    if run.output.task is not Task.SINGLE_LABEL or len(run.classes) < 2:
        return None
    layer = run.explainer.layer.name if isinstance(run.explainer, LayerExplainer) else None
    try:
        return CellEvidence(run.classifier.network, layer, image_size=run.config.image_size)
    except ConfigError:
        log.info(
            "evidence outside is not told: the target layer is not followed by pooling and one linear layer"
        )
        return None


def stored_trunk(
    run: TrainedRun,
    explainers: Iterable[Explainer],
    dataset: Images,
    store: FeatureStore | None = None,
) -> FrozenTrunk | None:
    """The features of the frozen part of a trained run, for images that are not mirrored.

    Args:
        run: whose network
        explainers: all that will look at it
        dataset: the images; of a stream no features are kept
        store: where the features are; by default where the run's options say, None if they say nowhere
    """
    store = FeatureStore.of(run.config) if store is None else store
    if store is None or not isinstance(dataset, ExplanationDataset):
        return None
    network = run.classifier.network
    apply_scope(network, run.config.train, image_size=run.config.image_size)
    trunk = make_trunk(run.classifier, explainers, image_size=run.config.image_size, store=store)
    return trunk if trunk is not None and trunk.fill([dataset], next(network.parameters()).device) else None


def images_of(
    run: TrainedRun,
    split: str,
    config: DataConfig,
    options: TrainConfig | None = None,
    *,
    negatives: bool = False,
) -> tuple[AnnotationSet, Images]:
    """Give a split of a data folder, or of shards, as a trained network wants it.

    Args:
        run: whose network
        split: which images
        config: where they are
        options: how they are made; by default as the run says
        negatives: derive negative marks where the options say so

    Returns:
        what the images are, in any order, and the images

    Raises:
        ConfigError, DataError: no such data or split, another task, or a class that the run does not know.
    """
    options = run.config if options is None else options
    index = find_shards(config)
    if index is None:
        found = matching(read_data(config), run).split(split)
        return found, make_dataset(found, run.classifier, options, negatives=negatives)
    matching(AnnotationSet(index.root, index.classes, (), task=index.task), run)
    items = read_shard_items(index, split)
    stream = make_stream(index, split, run.classifier, options, negatives=negatives, classes=run.classes)
    return AnnotationSet(index.root, run.classes, items, task=index.task), stream


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


def matching(annotation_set: AnnotationSet, run: TrainedRun) -> AnnotationSet:
    """Bring a data set's labels to the order in which the run knows its classes.

    Raises:
        DataError: another task, or a class that the run does not know.
    """
    if annotation_set.task is not run.output.task:
        raise DataError(
            f"{annotation_set.root}: its labels are for a {annotation_set.task.value} task, the run was "
            f"trained for a {run.output.task.value} one; evaluate it on data of its own task"
        )
    if annotation_set.classes == run.classes:
        return annotation_set
    unknown = sorted(set(annotation_set.classes) - set(run.classes))
    if unknown:
        raise DataError(
            f"{annotation_set.root}: the run knows the classes {', '.join(run.classes)}, "
            f"not {', '.join(unknown)}; name the class folders alike"
        )
    index = {name: i for i, name in enumerate(run.classes)}
    to = [index[name] for name in annotation_set.classes]
    items = tuple(
        replace(
            item,
            label=to[item.label] if item.label >= 0 else item.label,
            labels=tuple(sorted(to[label] for label in item.labels)),
            marks_by_class={to[label]: marks for label, marks in item.marks_by_class.items()},
        )
        for item in annotation_set.items
    )
    return replace(annotation_set, classes=run.classes, items=items)


def pick_device(name: str) -> torch.device:
    """Pick the device: the named one, or the best there is.

    Raises:
        ConfigError: the named one is not there.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable_here in there.items() if usable_here))
    if not there.get(name, False):
        raise ConfigError(f"device: '{name}' is not available here; use auto or cpu")
    return torch.device(name)
