"""Does a network use the region that people marked, or does its map only look so? Images changed, and asked again."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset
from lookright.data.stream import Images
from lookright.engine.inference import Inference
from lookright.engine.tasks import PLAIN, Output
from lookright.errors import ConfigError, DataError
from lookright.files import replacing
from lookright.metrics import Figure
from lookright.metrics.faithfulness import (
    area_under,
    blurred,
    deletion_insertion,
    dilate,
    pixel_rank,
    prediction_change,
    shares,
)
from lookright.metrics.groups import group_mean, worst_group
from lookright.metrics.summary import as_json
from lookright.models.modes import evaluating
from lookright.types import Task

Fill = Literal["blur", "mean"]

CHANGES = ("background_blur", "background_mean", "background_swap", "object_removed")
"""How images are changed: the background blurred, one colour, or another image's; the object gone."""

FAITHFULNESS = (
    "deletion_auc",
    "insertion_auc",
    *(f"{change}_{told}" for change in CHANGES for told in ("accuracy", "change", "flips")),
)
"""All figures, in the order of the columns."""


@dataclass(frozen=True)
class FaithfulnessOptions:
    """How images are changed.

    Raises:
        ConfigError: an option out of its range.
    """

    steps: int = 16
    """S: a curve has S + 1 points, and deletion and insertion cost 2 S passes of the network"""
    fill: Fill = "blur"
    """what takes the place of deleted pixels, and of objects: `blur` (of the image; for an object, of what is
    around it) or `mean` (the colour that the network's normalisation makes 0)"""
    margin: float = 0.02
    """how far an object reaches beyond its annotation, as a share of the side"""
    blur: float = 0.1
    """standard deviation of the blur, as a share of the side"""
    seed: int = 0
    """of which image lends its background to which"""

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


@dataclass(frozen=True)
class Faithfulness:
    """What was found for M of the N images of a split: those with a positive mark, and a background."""

    rows: Tensor
    """(M,) which of the N images"""
    figures: dict[str, Tensor]
    """name of `FAITHFULNESS` -> (M,) float32, NaN where it is not defined for an image"""
    probabilities: dict[str, Tensor]
    """name of `CHANGES` -> (M, K), of the changed image"""
    lender: tuple[str, ...]
    """id of the image whose background was lent; empty where there was none"""
    share: Tensor
    """(S + 1,) of the pixels"""
    deletion: Tensor
    """(M, S + 1)"""
    insertion: Tensor
    """(M, S + 1)"""

    def summary(self, inference: Inference, groups: Sequence[str | None]) -> dict[str, Any]:
        """What metrics.json says.

        Args:
            inference: of the N images
            groups: of the N images

        Returns:
            each figure as {"value": float | None, "n": int}; worst_group_background_swap_accuracy, where there
            are groups; "faithfulness": the mean curves, the figures by group, the accuracy of the same images
            as they are, and how many images were left out
        """
        mine = [groups[i] for i in self.rows.tolist()]
        found: dict[str, Any] = as_json(
            {name: Figure.mean(self.figures[name].tolist()) for name in self.figures}
        )
        by_group = {name: group_mean(values.tolist(), mine) for name, values in self.figures.items()}
        swapped = {name: f for name, f in by_group["background_swap_accuracy"].items() if f.n}
        if swapped:
            name, figure = worst_group(swapped)
            found["worst_group_background_swap_accuracy"] = {**figure.as_json(), "group": name}
        right = inference.probabilities.argmax(dim=1) == inference.label
        found["faithfulness"] = {
            "images": len(self.rows),
            "left_out": len(inference.id) - len(self.rows),
            "accuracy": Figure.mean(right[self.rows].float().tolist()).as_json(),
            "share": self.share.tolist(),
            "deletion": self.deletion.mean(dim=0).tolist(),
            "insertion": self.insertion.mean(dim=0).tolist(),
            "by_group": {name: as_json(figures) for name, figures in by_group.items() if figures},
        }
        return found

    def to_csv(
        self,
        path: Path,
        inference: Inference,
        files: Sequence[str],
        classes: Sequence[str],
        groups: Sequence[str | None],
    ) -> None:
        """Write a row per image: its figures, and what was predicted after each change.

        Args:
            path: file to write
            inference: of the N images
            files: of the N images
            classes: K names
            groups: of the N images
        """
        heads = ("id", "file", "label", "group", "predicted", "probability", *FAITHFULNESS)
        before, label = inference.probabilities[self.rows], inference.label[self.rows]
        chosen = {"": before} | self.probabilities
        said = {name: [classes[k] for k in p.argmax(dim=1).tolist()] for name, p in chosen.items()}
        sure = before.gather(1, label[:, None])[:, 0].tolist()
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*heads, *(f"{change}_predicted" for change in CHANGES), "background_from"])
            for m, i in enumerate(self.rows.tolist()):
                told = [float(self.figures[name][m]) for name in FAITHFULNESS]
                undefined = {"background_swap"} if not self.lender[m] else set()
                writer.writerow(
                    [
                        *(inference.id[i], files[i], classes[int(label[m])], groups[i] or ""),
                        *(said[""][m], sure[m]),
                        *("" if math.isnan(value) else value for value in told),
                        *("" if change in undefined else said[change][m] for change in CHANGES),
                        self.lender[m],
                    ]
                )


def measure_faithfulness(
    network: nn.Module,
    dataset: Images,
    inference: Inference,
    options: FaithfulnessOptions | None = None,
    *,
    output: Output = PLAIN,
    batch_size: int = 32,
    progress: str | None = None,
) -> Faithfulness:
    """Change the images of a split, and ask the network again, in evaluation mode.

    The map's own faithfulness: deletion and insertion of the pixels in the order of the map of the predicted
    class, told by the probability of that class. The network's: its predictions where the background, or the
    object, is replaced. An object is what is marked positive, and `margin` around it; the background is the
    rest. A background that is lent comes from an image of another class if there is one, drawn by the seed and
    the image's id alone, and its object is filled first.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        dataset: the images
        inference: what `lookright.engine.inference.infer` gave for them and this network
        options: how images are changed; by default those of `FaithfulnessOptions()`
        output: what the network's outputs mean
        batch_size: images per pass of the network
        progress: what the progress bar says; no bar if None

    Raises:
        ConfigError: another task than one class per image, or images in a stream.
        DataError: no image has a positive mark and a background.
    """
    options = FaithfulnessOptions() if options is None else options
    if output.task is not Task.SINGLE_LABEL:
        raise ConfigError(f"faithfulness: for one class per image; this is a {output.task.value} task")
    if not isinstance(dataset, ExplanationDataset):
        raise ConfigError("faithfulness: needs images of a folder, to lend backgrounds; shards are streamed")
    objects = _Objects.of(dataset, options)
    rows = objects.rows
    if not rows:
        raise DataError(
            "faithfulness: no image of the split has both a positive mark and a part that is not marked; "
            "annotate some, or leave faithfulness out"
        )
    lenders = _lenders(rows, inference, options.seed)
    asked = _Asked(network, output, dataset, objects, options)
    columns: dict[str, list[Tensor]] = {}
    with evaluating(network), torch.no_grad():
        bar = tqdm(total=len(rows), desc=progress, unit="image", disable=None if progress else True)
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            maps = inference.explanation[batch][:, None]
            predicted = inference.probabilities[batch].argmax(dim=1)
            found = asked.curves(batch, maps, predicted) | asked.changes(batch, lenders)
            for name, value in found.items():
                columns.setdefault(name, []).append(value.cpu())
            bar.update(len(batch))
        bar.close()
    stacked = {name: torch.cat(values) for name, values in columns.items()}
    return _collect(rows, stacked, lenders, inference, shares(options.steps))


def _collect(
    rows: list[int],
    stacked: Mapping[str, Tensor],
    lenders: Mapping[int, int],
    inference: Inference,
    share: Tensor,
) -> Faithfulness:
    at = torch.tensor(rows)
    before, label = inference.probabilities[at], inference.label[at]
    figures = {f"{n}_auc": area_under(stacked[n], share) for n in ("deletion", "insertion")}
    for change in CHANGES:
        for name, values in prediction_change(before, stacked[change], label).items():
            figures[f"{change}_{name}"] = values
    alone = torch.tensor([i not in lenders for i in rows])
    for name, values in figures.items():
        if name.startswith("background_swap"):
            figures[name] = values.masked_fill(alone, torch.nan)
    return Faithfulness(
        rows=at,
        figures=figures,
        probabilities={change: stacked[change] for change in CHANGES},
        lender=tuple(inference.id[lenders[i]] if i in lenders else "" for i in rows),
        share=share,
        deletion=stacked["deletion"],
        insertion=stacked["insertion"],
    )


@dataclass(frozen=True)
class _Objects:
    """The region of the object in each image that has one, and a background."""

    regions: dict[int, Tensor]
    """index -> (1, H, W) bool"""

    @classmethod
    def of(cls, dataset: ExplanationDataset, options: FaithfulnessOptions) -> _Objects:
        regions = {}
        for index, annotated in enumerate(dataset.annotated):
            if annotated:
                region = dilate((dataset.marks(index)[0][1] > 0)[None], options.margin)[0]
                if bool(region.any()) and not bool(region.all()):
                    regions[index] = region
        return cls(regions)

    @property
    def rows(self) -> list[int]:
        return list(self.regions)

    def __getitem__(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self.regions[i] for i in indices])


def _lenders(rows: Sequence[int], inference: Inference, seed: int) -> dict[int, int]:
    """Image -> the one that lends its background; none where it is alone."""
    label = inference.label.tolist()
    by_id = sorted(rows, key=lambda i: inference.id[i])  # so that the order of the data set does not matter
    drawn = {}
    for i in rows:
        others = [j for j in by_id if label[j] != label[i]] or [j for j in by_id if j != i]
        if others:
            entropy = [seed, zlib.crc32(inference.id[i].encode())]
            drawn[i] = others[int(np.random.default_rng(entropy).integers(len(others)))]
    return drawn


@dataclass(frozen=True)
class _Asked:
    """A network, and the images that it is asked about."""

    network: nn.Module
    output: Output
    dataset: ExplanationDataset
    objects: _Objects
    options: FaithfulnessOptions

    def predict(self, image: Tensor) -> Tensor:
        return self.output.predict(self.network(image))

    def images(self, indices: Sequence[int]) -> Tensor:
        images = torch.stack([self.dataset.sample(i, mirrored=False).image for i in indices])
        return images.to(next(self.network.parameters()).device)

    def curves(self, batch: Sequence[int], maps: Tensor, predicted: Tensor) -> dict[str, Tensor]:
        """Deletion and insertion, (B, S + 1) each."""
        image = self.images(batch)
        everywhere = torch.ones_like(image[:, :1], dtype=torch.bool)
        rank = pixel_rank(maps.to(image.device), (image.shape[2], image.shape[3]))
        of = predicted.to(image.device)[:, None]

        def score(changed: Tensor) -> Tensor:
            return self.predict(changed).gather(1, of)[:, 0]

        share = shares(self.options.steps)
        deleted, inserted = deletion_insertion(score, image, self.fill(image, everywhere), rank, share)
        return {"deletion": deleted, "insertion": inserted}

    def changes(self, batch: Sequence[int], lenders: Mapping[int, int]) -> dict[str, Tensor]:
        """Probabilities after each change, (B, K)."""
        image = self.images(batch)
        is_object = self.objects[batch].to(image.device)
        lent = self.without_object([lenders.get(i, i) for i in batch])
        blur = blurred(image, ~is_object, self.options.blur)
        replaced = {
            "background_blur": torch.where(is_object, image, blur),
            "background_mean": image * is_object,
            "background_swap": torch.where(is_object, image, lent),
            "object_removed": self.without_object(batch),
        }
        return {name: self.predict(changed) for name, changed in replaced.items()}

    def without_object(self, indices: Sequence[int]) -> Tensor:
        image = self.images(indices)
        is_object = self.objects[indices].to(image.device)
        return torch.where(is_object, self.fill(image, ~is_object), image)

    def fill(self, image: Tensor, region: Tensor) -> Tensor:
        """What takes the place of pixels, made of a region alone, (B, 3, H, W)."""
        if self.options.fill == "mean":
            return torch.zeros_like(image)
        return blurred(image, region, self.options.blur)
