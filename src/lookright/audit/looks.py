"""What a model makes of each image, and where it looks: the columns of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from lookright.audit.occlusion import occlusion_effect
from lookright.audit.regions import BORDER_FROM, REGIONS, border_share, region_shares
from lookright.audit.sameness import SIDE
from lookright.data import AnnotationSet, ExplanationDataset
from lookright.engine.inference import Inference, infer
from lookright.engine.run_images import cell_evidence
from lookright.engine.trained_run import ExplainedClassifier
from lookright.metrics import Cell
from lookright.metrics.reasonability import is_reasonable
from lookright.models.modes import evaluating

Column = NDArray[np.float64]

SURE_FROM = 0.9
"""Probability from which a prediction is sure."""


@dataclass(frozen=True, eq=False)
class Looks:
    """N images, column by column."""

    id: tuple[str, ...]
    file: tuple[Path, ...]
    split: tuple[str, ...]
    group: tuple[str | None, ...]
    classes: tuple[str, ...]
    """K names"""
    label: NDArray[np.int64]
    """(N,); -1 where the model does not know the class, or nobody has said it"""
    predicted: NDArray[np.int64]
    """(N,)"""
    probability: Column
    """(N,) of the predicted class"""
    explanation: Tensor
    """(N, h, w) raw map of the predicted class"""
    regions: Column
    """(N, 9) `region_shares`"""
    border: Column
    """(N,) `border_share`"""
    effect: Column
    """(N,) `occlusion_effect`: log-odds that the prediction loses without what the map shows"""
    effect_elsewhere: Column
    """(N,) without another place"""
    annotated: NDArray[np.bool_]
    iou: Column
    """(N,) NaN where it is not defined, as epg"""
    epg: Column
    marked: Column
    """(N,) share of the image that is marked positive"""
    outside: Mapping[str, Column]
    """figures of `lookright.metrics.evidence_outside`, (N,) each; none if the network does not tell them"""
    thumbnails: Tensor
    """(N, 3, 48, 48) uint8"""

    def __len__(self) -> int:
        return len(self.id)

    def correct(self, row: int) -> bool | None:
        """Whether an image was predicted right; None where its label is not known."""
        return bool(self.predicted[row] == self.label[row]) if self.label[row] >= 0 else None

    def cell(self, row: int) -> Cell | None:
        """Its cell of the reasonability matrix; None without label or annotation."""
        correct, reasonable = self.correct(row), is_reasonable(float(self.iou[row]))
        return None if correct is None or reasonable is None else Cell.of(reasonable, correct)

    def flags(self, row: int) -> tuple[str, ...]:
        """What is noticed about one image, as per_image.csv names it.

        `border`: most evidence lies along it. `unmoved`: covering what the map shows moves the prediction no
        more than covering another place. `outside`: annotated regions hold no more evidence than an even map
        would give them. `sure-and-wrong`: a wrong prediction with a probability of 0.9 or more.
        """
        noticed = {
            "border": self.border[row] >= BORDER_FROM,
            "unmoved": self.effect[row] <= self.effect_elsewhere[row],
            "outside": self.epg[row] <= self.marked[row],
            "sure-and-wrong": self.correct(row) is False and self.probability[row] >= SURE_FROM,
        }
        return tuple(name for name, is_so in noticed.items() if is_so)

    def rows(self, clusters: Mapping[int, str]) -> list[dict[str, object]]:
        """Give the columns of per_image.csv.

        Args:
            clusters: row -> name of its cluster
        """
        return [self._row(row, clusters.get(row)) for row in range(len(self))]

    def _row(self, row: int, cluster: str | None) -> dict[str, object]:
        label, cell = int(self.label[row]), self.cell(row)
        regions = zip(REGIONS, self.regions[row].tolist(), strict=True)
        return {
            "id": self.id[row],
            "file": self.file[row],
            "split": self.split[row],
            "group": self.group[row],
            "label": self.classes[label] if label >= 0 else None,
            "predicted": self.classes[int(self.predicted[row])],
            "probability": float(self.probability[row]),
            "correct": self.correct(row),
            "cluster": cluster,
            **{f"evidence_{name.replace(' ', '_')}": value for name, value in regions},
            "evidence_border": float(self.border[row]),
            "effect": float(self.effect[row]),
            "effect_elsewhere": float(self.effect_elsewhere[row]),
            "annotated": bool(self.annotated[row]),
            "iou": float(self.iou[row]),
            "epg": float(self.epg[row]),
            "cell": cell.value if cell else None,
            "flags": ";".join(self.flags(row)),
            **{name: float(column[row]) for name, column in self.outside.items()},
        }


def look(
    model: ExplainedClassifier,
    images: AnnotationSet,
    dataset: ExplanationDataset,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> Looks:
    """Ask the model about every image: five passes of the network each.

    Args:
        model: in place, on its device
        images: what they are
        dataset: the same images, in the same order, as the model wants them
        batch_size: images at a time
        progress: show bars

    Raises:
        NonFiniteError: logits or a map with NaN or infinite values.
        DataError: a photo cannot be read.
    """
    network = model.classifier.network
    device = next(network.parameters()).device
    found = infer(
        model.explainer,
        dataset,
        batch_size=batch_size,
        device=device,
        progress="look" if progress else None,
        output=model.output,
        cells=cell_evidence(model),
    )
    effect, elsewhere, thumbnails = _again(model, dataset, found, batch_size, progress)
    probability, predicted = found.probabilities.max(dim=1)
    label = found.label.numpy().astype(np.int64)
    return Looks(
        id=found.id,
        file=tuple(item.path for item in images.items),
        split=tuple(item.split for item in images.items),
        group=tuple(item.group for item in images.items),
        classes=model.classes,
        label=label,
        predicted=predicted.numpy(),
        probability=_column(probability),
        explanation=found.explanation,
        regions=_column(region_shares(found.explanation)),
        border=_column(border_share(found.explanation)),
        effect=_column(effect),
        effect_elsewhere=_column(elsewhere),
        annotated=found.annotated.numpy(),
        iou=_column(found.localization["iou"]),
        epg=_column(found.localization["epg"]),
        marked=_marked(dataset),
        outside={name: _column(values) for name, values in (found.outside or {}).items()},
        thumbnails=thumbnails,
    )


def _marked(dataset: ExplanationDataset) -> Column:
    marked = np.zeros(len(dataset))
    for row, annotated in enumerate(dataset.annotated):
        if annotated:
            ((_, annotation),) = dataset.marks(row)
            marked[row] = float((annotation > 0).float().mean())
    return marked


def _again(
    model: ExplainedClassifier,
    dataset: ExplanationDataset,
    found: Inference,
    batch_size: int,
    progress: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Both effects of `occlusion_effect`, and small pictures of the images."""
    network = model.classifier.network
    device = next(network.parameters()).device
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (model.classifier.mean, model.classifier.std)
    )
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(network):
        bar = tqdm(total=len(dataset), desc="cover", unit="image", disable=None if progress else True)
        for start in range(0, len(dataset), batch_size):
            rows = range(start, min(start + batch_size, len(dataset)))
            image = torch.stack([dataset.sample(row, mirrored=False).image for row in rows])
            maps = found.explanation[rows.start : rows.stop, None].to(device)
            chosen = found.probabilities[rows.start : rows.stop].argmax(dim=1).to(device)
            here, elsewhere = occlusion_effect(network, image.to(device), maps, chosen)
            small = F.interpolate(image, size=(SIDE, SIDE), mode="area") * std + mean
            columns.append((here.cpu(), elsewhere.cpu(), (255 * small).round().clamp(0, 255).byte()))
            bar.update(len(rows))
        bar.close()
    of_all, of_all_elsewhere, thumbnails = (torch.cat(parts) for parts in zip(*columns, strict=True))
    return of_all, of_all_elsewhere, thumbnails


def _column(values: Tensor) -> Column:
    return values.double().cpu().numpy()
