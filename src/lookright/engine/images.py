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
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset, Item, load_image
from lookright.engine.evaluate import pick_device
from lookright.engine.inference import PREDICTED
from lookright.engine.setup import TrainedRun, open_run


@dataclass(frozen=True)
class ExplainedImage:
    """One photo, what the run says it is, and where it looked."""

    path: Path
    photo: Image
    predicted: str
    probabilities: dict[str, float]
    explanation: NDArray[np.float32]
    """(h, w) raw map of the predicted class"""


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
    run.classifier.network.to(where)
    for image in tqdm(images, unit="image", disable=None):
        yield _explain(run, image, where)


def _explain(run: TrainedRun, path: Path, device: torch.device) -> ExplainedImage:
    dataset = ExplanationDataset(
        [Item(path.name, path, label=0, split="")],
        image_size=run.config.image_size,
        mean=run.classifier.mean,
        std=run.classifier.std,
    )
    with torch.no_grad():
        logits, maps = run.explainer(dataset[0].image[None].to(device), None, PREDICTED)
    probabilities = logits.float().softmax(dim=1)[0].cpu()
    return ExplainedImage(
        path=path,
        photo=load_image(path),
        predicted=run.classes[int(probabilities.argmax())],
        probabilities=dict(zip(run.classes, probabilities.tolist(), strict=True)),
        explanation=maps[PREDICTED][0, 0].cpu().numpy(),
    )


def predictions_csv(explained: Sequence[ExplainedImage]) -> str:
    """Give file, predicted class and the probability of every class as the text of a csv file."""
    classes = list(explained[0].probabilities) if explained else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "predicted", *classes])
    for image in explained:
        writer.writerow([image.path, image.predicted, *(f"{image.probabilities[n]:.6f}" for n in classes)])
    return text.getvalue()
