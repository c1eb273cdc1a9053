"""Predicting and explaining single photos with a trained run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset, Item, load_image
from lookright.engine.channels_last import place
from lookright.engine.inference import ANNOTATED, PREDICTED
from lookright.engine.run_images import pick_device
from lookright.engine.trained_run import TrainedRun, open_run
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


def explain_images(path: Path, images: Sequence[Path], *, device: str = "auto") -> Iterator[ExplainedImage]:
    """Predict and explain photos one after the other.

    Args:
        path: the run folder
        images: photo files
        device: auto, cpu, cuda or mps

    Raises:
        CheckpointError: no such run.
        DataError: a photo that cannot be read.
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


def predictions_csv(explained: Sequence[ExplainedImage]) -> str:
    """Give file, predicted class and the probability of every class as the text of a csv file.

    With several labels per image, all classes from 0.5 on, with ; between; for a number, the value alone.
    """
    classes = list(explained[0].probabilities) if explained else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    is_value = bool(explained) and explained[0].value is not None
    writer.writerow(["file", "value" if is_value else "predicted", *classes])
    for image in explained:
        writer.writerow([image.path, image.predicted, *(f"{image.probabilities[n]:.6f}" for n in classes)])
    return text.getvalue()
