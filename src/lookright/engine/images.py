"""Predicting and explaining single photos with a trained run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset, Item, load_image
from lookright.data.layout import IMAGE_SUFFIXES, list_files
from lookright.engine.channels_last import place
from lookright.engine.inference import ANNOTATED, PREDICTED
from lookright.engine.run_images import pick_device
from lookright.engine.trained_run import TrainedRun, open_run
from lookright.errors import DataError
from lookright.metrics.multilabel import PRESENT
from lookright.types import Rows, Task


@dataclass(frozen=True)
class ExplainedImage:
    """One photo, what the run says it is, and where it looked."""

    path: Path
    photo: Image
    predicted: str
    """name of the most probable class; of all classes from 0.5 on, with ; between; the number"""
    probabilities: dict[str, float]
    """of each class; none where a number is predicted"""
    explanations: dict[str, NDArray[np.float32]]
    """what is explained -> its raw map (h, w): the predicted class; every class from 0.5 on, or else the most
    likely one; "value", for a number"""
    task: Task = Task.SINGLE_LABEL
    value: float | None = None
    """the predicted number"""

    @property
    def explanation(self) -> NDArray[np.float32]:
        """The first of the maps, (h, w)."""
        return next(iter(self.explanations.values()))


class PhotoFile(NamedTuple):
    """A photo to predict or explain."""

    path: Path
    name: str
    """what its files are called: its own name without suffix, below the folder that was given"""


def find_photos(places: Iterable[Path], leave_out: Path | None = None) -> list[PhotoFile]:
    """Give the photos that are named, and of folders all below them, sorted.

    Args:
        places: photo files, or folders
        leave_out: a folder that is passed over in those that it lies in: maps of photos are pictures too

    Raises:
        DataError: a folder without an image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "cats").mkdir()
        ...     Path(folder, "cats", "a.JPG").touch()
        ...     [photo.name for photo in find_photos([Path(folder), Path("b.png")])]
        ['cats/a', 'b']
    """
    left_out = None if leave_out is None else leave_out.resolve()
    found = []
    for given in places:
        if not given.is_dir():
            found.append(PhotoFile(given, given.stem))
            continue
        files = list_files(given, IMAGE_SUFFIXES)
        if left_out is not None and given.resolve() in left_out.parents:
            files = [file for file in files if left_out not in file.resolve().parents]
        if not files:
            raise DataError(
                f"{given}: no image in this folder or below it ({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        found += [PhotoFile(file, file.relative_to(given).with_suffix("").as_posix()) for file in files]
    return found


def explain_images(path: Path, images: Sequence[Path], *, device: str = "auto") -> Iterator[ExplainedImage]:
    """Predict and explain photos one after the other.

    Args:
        path: the run folder
        images: photo files
        device: auto, cpu, cuda or mps

    Raises:
        CheckpointError: no such run.
        DataError: a photo that cannot be read.

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
        ...     photo = find_photos([data])[0]
        ...     (explained,) = explain_images(run, [photo.path], device="cpu")
        >>> explained.explanation.shape, len(explained.probabilities)
        ((8, 8), 10)
    """
    run = open_run(path)
    where = pick_device(device)
    place(run.classifier.network, where)
    for image in tqdm(images, unit="image", disable=None):
        yield _explain(run, image, where)


def _explain(run: TrainedRun, path: Path, device: torch.device) -> ExplainedImage:
    dataset = ExplanationDataset(
        [Item(path.name, path, label=0, split="")],
        image_size=run.config.image_size,
        mean=run.classifier.mean,
        std=run.classifier.std,
    )
    image = dataset[0].image[None].to(device)
    with torch.no_grad():
        logits, maps = run.explainer(image, None, PREDICTED)
        prediction = run.output.predict(logits)[0].cpu()
        explanation = maps[PREDICTED][0, 0].cpu().numpy()
        if run.output.task is Task.REGRESSION:
            value = float(prediction[0])
            return ExplainedImage(
                path, load_image(path), f"{value:.6g}", {}, {"value": explanation}, run.output.task, value
            )
        likeliest = int(prediction.argmax())
        present = [likeliest]
        explanations = {run.classes[likeliest]: explanation}
        if run.output.task is Task.MULTI_LABEL:
            present = (prediction >= PRESENT).nonzero()[:, 0].tolist()
            if present:
                explanations = _explain_classes(run, image, present)
    return ExplainedImage(
        path=path,
        photo=load_image(path),
        predicted=";".join(run.classes[label] for label in present),
        probabilities=dict(zip(run.classes, prediction.tolist(), strict=True)),
        explanations=explanations,
        task=run.output.task,
    )


def _explain_classes(run: TrainedRun, image: Tensor, labels: list[int]) -> dict[str, NDArray[np.float32]]:
    of = torch.tensor(labels, device=image.device)
    _, maps = run.explainer(image, None, ANNOTATED, rows=Rows(torch.zeros_like(of), of))
    return {
        run.classes[label]: explanation[0].cpu().numpy()
        for label, explanation in zip(labels, maps[ANNOTATED], strict=True)
    }


def predictions_csv(explained: Iterable[ExplainedImage]) -> str:
    """Give file, predicted class and the probability of every class as the text of a csv file.

    With several labels per image, all classes from 0.5 on, with ; between; for a number, the value alone.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes: list[str] | None = None
    for image in explained:  # one photo in memory at a time
        if classes is None:
            classes = list(image.probabilities)
            writer.writerow(["file", "predicted" if image.value is None else "value", *classes])
        writer.writerow([image.path, image.predicted, *(f"{image.probabilities[n]:.6f}" for n in classes)])
    return text.getvalue() or "file,predicted\n"
