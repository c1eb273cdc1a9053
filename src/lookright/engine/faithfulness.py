"""Does a network use the region that people marked, or does its map only look so? Changed images tell."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset
from lookright.data.stream import Images
from lookright.engine.inference import Inference
from lookright.engine.tasks import PLAIN, Output
from lookright.errors import ConfigError, DataError
from lookright.metrics.faithfulness import blurred, dilate, pixel_rank, score_curve, shares
from lookright.metrics.faithfulness_rows import CHANGES, Faithfulness
from lookright.models.modes import evaluating
from lookright.types import Task

Fill = Literal["blur", "mean"]


@dataclass(frozen=True)
class FaithfulnessOptions:
    """How images are changed.

    Raises:
        ConfigError: an option out of its range.
    """

    steps: int = 16
    """S: a curve has S + 1 points, each a pass of the network"""
    fill: Fill = "blur"
    """what takes the place of objects: `blur`, of what is around them, or `mean`, the colour that the
    network's normalisation makes 0"""
    margin: float = 0.02
    """how far an object reaches beyond its annotation, as a share of the side"""
    blur: float = 0.1
    """standard deviation of any blur, as a share of the side"""
    seed: int = 0
    """of which image lends its background to which, and of which images are changed if not all"""
    images: int | None = None
    """most images that are changed, drawn by the seed and their ids alone; None: all that can be"""

    def __post_init__(self) -> None:
        shares(self.steps)
        if self.fill not in ("blur", "mean"):
            raise ConfigError(f"fill: got {self.fill!r}, choose blur or mean")
        if not 0 <= self.margin < 1:
            raise ConfigError(f"margin: got {self.margin}, need a share of the image in [0, 1)")
        if not 0 < self.blur <= 1:
            raise ConfigError(f"blur: got {self.blur}, need a share of the image in (0, 1]")
        if self.seed < 0:
            raise ConfigError(f"seed: got {self.seed}; give 0 or more")
        if self.images is not None and self.images < 1:
            raise ConfigError(f"images: got {self.images}; give 1 or more, or leave it out for all")


def measure_faithfulness(
    network: nn.Module,
    dataset: Images,
    inference: Inference,
    classes: Sequence[str],
    options: FaithfulnessOptions | None = None,
    *,
    output: Output = PLAIN,
    batch_size: int = 32,
    progress: str | None = None,
) -> Faithfulness:
    """Change the images of a split, and ask the network again, in evaluation mode.

    The map's faithfulness: deletion and insertion of pixels in the order of the map of the predicted class,
    told by the probability of that class: from the image to the mean colour, from the blurred image to the
    image, as published. The network's: its predictions where the background, or the object,
    is replaced. An object is what is marked positive, and `margin` around it; the background is the rest.
    A background is lent by an image of another class if there is one, drawn by the seed and the image's id
    alone; its own object is filled first. docs/metrics.md defines each figure.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        dataset: the images
        inference: what `lookright.engine.inference.infer` gave for them and this network
        classes: K names
        options: how images are changed; by default those of `FaithfulnessOptions()`
        output: what the network's outputs mean
        batch_size: images per pass of the network
        progress: what the progress bar says; no bar if None

    Returns:
        the images that have a positive mark and a part that is not marked; all others are left out

    Raises:
        ConfigError: another task than one class per image, or images in a stream.
        DataError: all images would be left out.
    """
    options = FaithfulnessOptions() if options is None else options
    dataset = check_supported(dataset, output)
    rows = _choose(dataset, options)
    lenders = _draw_lenders(rows, inference, options.seed)
    asked = _Asked(network, output, dataset, options)
    columns: dict[str, list[Tensor]] = {}
    with evaluating(network), torch.no_grad():
        bar = tqdm(total=len(rows), desc=progress, unit="image", disable=None if progress else True)
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            image, is_object = asked.load(batch)
            maps = inference.explanation[batch][:, None]
            predicted = inference.probabilities[batch].argmax(dim=1)
            lent = asked.load([lenders.get(i, i) for i in batch])
            found = asked.curves(image, maps, predicted) | asked.changes(image, is_object, *lent)
            for name, value in found.items():
                columns.setdefault(name, []).append(value.cpu())
            bar.update(len(batch))
        bar.close()
    stacked = {name: torch.cat(values) for name, values in columns.items()}
    items = [dataset.items[i] for i in rows]
    return Faithfulness.of(
        ids=[item.id for item in items],
        files=[str(item.path) for item in items],
        groups=[item.group for item in items],
        labels=inference.label[rows],
        classes=classes,
        before=inference.probabilities[rows],
        after={change: stacked[change] for change in CHANGES},
        lender=[inference.id[lenders[i]] if i in lenders else None for i in rows],
        share=shares(options.steps),
        deletion=stacked["deletion"],
        insertion=stacked["insertion"],
    )


def check_supported(dataset: Images, output: Output) -> ExplanationDataset:
    """Refuse what cannot be measured, before anything is computed.

    Raises:
        ConfigError: another task than one class per image, or images in a stream.
        DataError: no image is annotated.
    """
    if output.task is not Task.SINGLE_LABEL:
        raise ConfigError(
            f"faithfulness: is measured where each image has one class; the task is {output.task.value}"
        )
    if not isinstance(dataset, ExplanationDataset):
        raise ConfigError("faithfulness: needs a folder of photos, to lend backgrounds; got shards (--data)")
    if not dataset.annotated_images:
        raise DataError("faithfulness: no image of the split is annotated; annotate some, or leave it out")
    return dataset


def _choose(dataset: ExplanationDataset, options: FaithfulnessOptions) -> list[int]:
    """The images to change, in the order of the data set: they have an object and a background."""
    order = [index for index, annotated in enumerate(dataset.annotated) if annotated]
    if options.images is not None:
        order.sort(key=lambda i: _random(options.seed, "changed", dataset.items[i].id).random())
    objects = ((index, _object(dataset, index, options.margin)) for index in order)
    usable = (index for index, is_object in objects if is_object.any() and not is_object.all())
    rows = sorted(islice(usable, options.images))
    if not rows:
        raise DataError(
            "faithfulness: no image of the split has both a positive mark and a part that is not marked; "
            "annotate some, or leave faithfulness out"
        )
    return rows


def _object(dataset: ExplanationDataset, index: int, margin: float) -> Tensor:
    """(1, H, W) bool"""
    return dilate((dataset.marks(index)[0][1] > 0)[None], margin)[0]


def _draw_lenders(rows: Sequence[int], inference: Inference, seed: int) -> dict[int, int]:
    """Image -> the one that lends its background; none where it is alone."""
    label = inference.label.tolist()
    by_id = sorted(rows, key=lambda i: inference.id[i])  # so that the order of the data set does not matter
    of_another = {k: [j for j in by_id if label[j] != k] for k in {label[i] for i in rows}}
    drawn = {}
    for i in rows:
        others = of_another[label[i]] or [j for j in by_id if j != i]
        if others:
            drawn[i] = others[int(_random(seed, "borrows", inference.id[i]).integers(len(others)))]
    return drawn


def _random(seed: int, purpose: str, name: str) -> np.random.Generator:
    """The same numbers for an image whatever the data set's order, and others for each purpose."""
    return np.random.default_rng([seed, zlib.crc32(f"{purpose} {name}".encode(errors="surrogateescape"))])


@dataclass(frozen=True)
class _Asked:
    """A network, and the images that it is asked about."""

    network: nn.Module
    output: Output
    dataset: ExplanationDataset
    options: FaithfulnessOptions

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), and where their objects are, (B, 1, H, W) bool."""
        device = next(self.network.parameters()).device
        images = torch.stack([self.dataset.sample(i, mirrored=False).image for i in indices])
        objects = torch.stack([_object(self.dataset, i, self.options.margin) for i in indices])
        return images.to(device), objects.to(device)

    def curves(self, image: Tensor, maps: Tensor, predicted: Tensor) -> dict[str, Tensor]:
        """Deletion and insertion, (B, S + 1) each."""
        everywhere = torch.ones_like(image[:, :1], dtype=torch.bool)
        blank, blur = torch.zeros_like(image), blurred(image, everywhere, self.options.blur)
        rank = pixel_rank(maps.to(image.device), (image.shape[2], image.shape[3]))
        of = predicted.to(image.device)[:, None]

        def score(changed: Tensor) -> Tensor:
            return self._predict(changed).gather(1, of)[:, 0]

        share = shares(self.options.steps)
        return {
            "deletion": score_curve(score, image, blank, rank, share),
            "insertion": score_curve(score, blur, image, rank, share),
        }

    def changes(
        self, image: Tensor, is_object: Tensor, lent: Tensor, is_lenders: Tensor
    ) -> dict[str, Tensor]:
        """Probabilities after each change, (B, K)."""
        blur = blurred(image, ~is_object, self.options.blur)
        changed = {
            "background_blur": torch.where(is_object, image, blur),
            "background_mean": image * is_object,
            "background_swap": torch.where(is_object, image, self._without(lent, is_lenders)),
            "object_removed": self._without(image, is_object),
        }
        return {name: self._predict(images) for name, images in changed.items()}

    def _predict(self, image: Tensor) -> Tensor:
        return self.output.predict(self.network(image))

    def _without(self, image: Tensor, is_object: Tensor) -> Tensor:
        """Images whose objects are filled."""
        if self.options.fill == "mean":
            return image * ~is_object
        return torch.where(is_object, blurred(image, ~is_object, self.options.blur), image)
