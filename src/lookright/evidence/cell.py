"""One run of a grid, or a few that learn together: trained, evaluated, told as rows of the table."""

from __future__ import annotations

import csv
import json
import logging
import math
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

import lookright
from lookright.config import TrainConfig
from lookright.data import ExplanationDataset
from lookright.data.derive import mark_outside
from lookright.engine.channels_last import place
from lookright.engine.evaluate import tell
from lookright.engine.faithfulness import measure_faithfulness
from lookright.engine.features import FeatureStore
from lookright.engine.inference import Inference, infer
from lookright.engine.many import train_many
from lookright.engine.run_folder import RunFolder
from lookright.engine.run_images import cell_evidence, pick_device
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.errors import LookrightError
from lookright.evidence.machine import commit, processor, waited
from lookright.evidence.plan import PlannedRun
from lookright.evidence.reading import FACT, MEASURES
from lookright.evidence.shared import Shared
from lookright.metrics import localization
from lookright.models import apply_scope

log = logging.getLogger("lookright")

_EVERY_LOG = ("epoch", "lr", "loss", "prediction_loss", "explanation_loss", "seconds")
"""columns of log.csv whatever the losses are, beside figures of the training and the validation images"""


def run_cells(runs: Sequence[PlannedRun], out: Path, shared: Shared) -> list[dict[str, str]]:
    """Train and evaluate runs, and give their rows; one that fails has a row that says why.

    Run folders lie in OUT/runs while they are needed; what a killed process left there is begun anew. Of
    each run of the stage `final` the rows of the test images are kept: OUT/images/RUN.csv.

    Args:
        runs: several learn together where they can (see `lookright.engine.many.train_many`)
        out: folder of the experiment
        shared: what the runs of this process share

    Returns:
        a row per run, columns as `lookright.evidence.table` says
    """
    started = _Clock.now()
    configs = [run.config(out) for run in runs]
    for config in configs:
        shutil.rmtree(str(config.out), ignore_errors=True)
    failed = _train(configs, shared.store(configs[0]))
    share = started.since(len(runs))
    rows = []
    for i, (run, config) in enumerate(zip(runs, configs, strict=True)):
        begun = _Clock.now()
        row = _about(run)
        if i not in failed:
            try:
                row |= _told(run, config, out, shared)
            except Exception as error:
                failed[i] = error
        if i in failed:
            row |= {"status": "failed", "error": _in_words(failed[i], run.name)}
        if not run.grid.keep_checkpoints:
            shutil.rmtree(str(config.out), ignore_errors=True)
        own = begun.since()
        row["seconds"] = f"{share.seconds + own.seconds:.3f}"
        if math.isfinite(wait := share.waited + own.waited):
            row["waited"] = f"{wait:.3f}"
        rows.append(row)
    return rows


class _Clock(NamedTuple):
    """What the clock says, and for how long others had the core (see `waited`)."""

    seconds: float
    waited: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.perf_counter(), waited())

    def since(self, parts: int = 1) -> Self:
        """What has passed, or one part of it."""
        now = self.now()
        return type(self)((now.seconds - self.seconds) / parts, (now.waited - self.waited) / parts)


def _train(configs: Sequence[TrainConfig], store: FeatureStore | None) -> dict[int, Exception]:
    """Train runs; gives what went wrong with each."""
    if len(configs) == 1:
        try:
            train(configs[0], "lookright bench", store=store)
        except Exception as error:
            return {0: error}
        return {}
    try:
        train_many(configs, "lookright bench", store=store)
        return {}
    except Exception as error:
        if not isinstance(error, LookrightError):
            log.warning("runs that learn together failed; each is trained alone", exc_info=error)
    # Those that ended are whole; one alone says what is wrong with it.
    failed: dict[int, Exception] = {}
    for i, config in enumerate(configs):
        if not _ended(config):
            shutil.rmtree(str(config.out), ignore_errors=True)
            if alone := _train([config], store):
                failed[i] = alone[0]
    return failed


def _ended(config: TrainConfig) -> bool:
    try:
        return bool(RunFolder(str(config.out)).facts()["status"] == "finished")
    except LookrightError:
        return False


def _told(run: PlannedRun, config: TrainConfig, out: Path, shared: Shared) -> dict[str, str]:
    started = time.perf_counter()
    folder = RunFolder(str(config.out))
    facts = folder.facts()
    row = {
        "status": "finished",
        "device": facts["device"],
        "processor": processor(facts["device"]),
        "train_images": facts["images"]["train"],
        "annotated_images": facts["images"]["annotated"],
        "best_epoch": facts["best_epoch"],
        "train_seconds": facts["seconds"],
    }
    for split, judged in evaluate_splits(run, config, shared, out).items():
        before = "" if split == "test" else f"{split}_"
        row |= {f"{before}{name}": format(value, ".6g") for name, value in judged.measures.items()}
        if split == "test":
            row["test_images"] = judged.images
    row |= _facts(folder.log_file)
    row["evaluate_seconds"] = f"{time.perf_counter() - started:.3f}"
    return {name: str(value) for name, value in row.items()}


def _facts(log_file: Path) -> dict[str, str]:
    """What the losses told of the last epoch beside their values."""
    with log_file.open(encoding="utf-8", newline="") as file:
        *_, last = csv.DictReader(file)
    return {
        f"{FACT}{name}": format(float(value), ".6g")
        for name, value in last.items()
        if value and name not in _EVERY_LOG and not name.startswith(("train_", "val_"))
    }


class Judged(NamedTuple):
    """A trained network on a split."""

    measures: Mapping[str, float]
    """those that are defined"""
    images: int


def evaluate_splits(
    run: PlannedRun, config: TrainConfig, shared: Shared, out: Path | None = None
) -> dict[str, Judged]:
    """Evaluate the best checkpoint of a run on the splits of its stage, as `lookright evaluate` does.

    Args:
        run: what is to be evaluated
        config: its options, with its run folder
        shared: features, and images that were read before
        out: folder of the experiment, where the rows of the test images are written; None: nowhere

    Raises:
        CheckpointError, DataError: no such run or split.
        ConfigError: its faithfulness cannot be measured.
    """
    trained = open_run(Path(str(config.out)))
    network = trained.classifier.network
    device = pick_device(config.accelerator)
    place(network, device)
    cells = cell_evidence(trained)
    explainers = [trained.explainer] if cells is None else [trained.explainer, cells.explainer]
    images = {split: shared.images(trained, split) for split in run.splits}
    trunk: FrozenTrunk | None = None
    store = shared.store(config)
    datasets = [dataset for _, dataset in images.values() if isinstance(dataset, ExplanationDataset)]
    if store is not None and datasets:
        apply_scope(network, config.train, image_size=config.image_size)
        trunk = make_trunk(trained.classifier, explainers, image_size=config.image_size, store=store)
        if trunk is not None and not trunk.fill(datasets, device):
            trunk = None
    judged = {}
    for split, (annotation_set, dataset) in images.items():
        result = infer(
            trained.explainer, dataset, device=device, output=trained.output, trunk=trunk, cells=cells
        )
        if run.grid.precision_outside is not None and isinstance(dataset, ExplanationDataset):
            result = with_negatives(result, dataset, run.grid.precision_outside)
        rows, figures = tell(result, annotation_set)
        measures = {name: figures[name]["value"] for name in MEASURES if name in figures}
        if split == "test" and run.faithfulness is not None:
            changed = measure_faithfulness(
                network, dataset, result, trained.classes, run.faithfulness, output=trained.output
            )
            measures |= {name: value for name, value in changed.numbers().items() if name in MEASURES}
        if split == "test" and out is not None:
            rows.to_csv(out / "images" / f"{run.name}.csv")
        known = {name: value for name, value in measures.items() if value is not None and value == value}
        judged[split] = Judged(known, len(result.id))
    return judged


def with_negatives(result: Inference, dataset: ExplanationDataset, margin: float) -> Inference:
    """Compute precision and F1 against negative marks derived from the positive ones.

    Args:
        result: of all images of the data set
        dataset: the images
        margin: as of `lookright.data.derive.mark_outside`
    """
    if result.rows is not None:  # several annotations of an image, one per class
        return result
    marks = [mark_outside(dataset.marks(i)[0][1].float(), margin) for i in range(len(dataset))]
    found = localization(
        result.explanation[:, None], torch.stack(marks), result.annotated, figures=("precision", "f1")
    )
    return replace(result, localization={**result.localization, **found})


def _about(run: PlannedRun) -> dict[str, str]:
    """What a row says of a run, however it ended."""
    return {
        "stage": run.stage,
        "run": run.name,
        "status": "",
        "error": "",
        **run.cell,
        "seed": str(run.seed),
        "fingerprint": run.fingerprint,
        "options": _as_json(run.given),
        "chosen": _as_json(run.chosen),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "lookright": lookright.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }


def lost_row(run: PlannedRun, why: str) -> dict[str, str]:
    """Give the row of a run that whoever did it did not live to tell about."""
    return _about(run) | {"status": "failed", "error": why}


def _as_json(options: Mapping[str, Any]) -> str:
    return json.dumps(dict(options), default=str)


def _in_words(error: Exception, name: str) -> str:
    if isinstance(error, LookrightError):
        return str(error)
    log.error("%s failed", name, exc_info=error)  # a mistake of ours: where it was made
    return f"{type(error).__name__}: {error}"
