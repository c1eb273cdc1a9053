"""Evaluation against plain inference: what maps and figures cost beside the predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lookright.bench.timing import Measurements, synchronize, take_turns, timed
from lookright.data import ExplanationDataset, Item, MaskFiles, collate
from lookright.engine.channels_last import place
from lookright.engine.inference import infer
from lookright.explainers import GradCAM
from lookright.models import create
from lookright.models.modes import evaluating


def write_photos(folder: Path, *, count: int, image_size: int) -> tuple[Item, ...]:
    """Write noise with marks of both signs, so that every figure is defined and none is skipped.

    Args:
        folder: where the files go
        count: how many images
        image_size: H and W

    Returns:
        the images, two classes in turn
    """
    generator = np.random.default_rng(0)
    half = image_size // 2
    positive = np.zeros((image_size, image_size), dtype=np.uint8)
    positive[:half, :half] = 255
    masks = MaskFiles(positive=folder / "positive.png", negative=folder / "negative.png")
    Image.fromarray(positive).save(folder / "positive.png")
    Image.fromarray(positive[::-1, ::-1]).save(folder / "negative.png")
    items = []
    for i in range(count):
        path = folder / f"{i:03}.jpg"
        Image.fromarray(generator.integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)).save(path)
        items.append(Item(path.name, path, i % 2, "test", marks=masks))
    return tuple(items)


def plain_inference(
    network: nn.Module, dataset: ExplanationDataset, *, batch_size: int, device: torch.device
) -> Tensor:
    """Predict every image, as one would without lookright's evaluation.

    Returns:
        (N,) int64, the class with the largest logit
    """
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=collate)
    with evaluating(network), torch.inference_mode():
        return torch.cat([network(batch.image.to(device)).argmax(dim=1).cpu() for batch in loader])


def measure_evaluation(
    backbone: str,
    items: tuple[Item, ...],
    *,
    batch_size: int,
    image_size: int,
    rounds: int,
    device: torch.device,
) -> Measurements:
    """Time `lookright.engine.inference.infer` and plain inference on the same batches.

    Both read from the same data set, whose images are decoded in the round that does not count.

    Args:
        backbone: see `lookright.models.create`; its weights are random
        items: of `write_photos`
        batch_size: images at a time
        image_size: H and W
        rounds: measurements of each
        device: where to run

    Returns:
        "evaluation" and "plain" -> images per second
    """
    torch.manual_seed(0)
    classifier = create(backbone, num_classes=2, image_size=image_size)
    network = place(classifier.network, device)
    explainer = GradCAM(network, image_size=image_size)
    dataset = ExplanationDataset(items, image_size=image_size, mean=classifier.mean, std=classifier.std)

    def evaluation() -> None:
        infer(explainer, dataset, batch_size=batch_size, device=device)
        synchronize(device)

    def plain() -> None:
        plain_inference(network, dataset, batch_size=batch_size, device=device)
        synchronize(device)

    variants = {"evaluation": timed(evaluation), "plain": timed(plain)}
    seconds = take_turns(variants, rounds, f"{backbone}, evaluation")
    return {name: [len(items) / s for s in values] for name, values in seconds.items()}
