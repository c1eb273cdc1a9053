"""What the tests of faithfulness found, image by image (faithfulness.csv), and its summary (metrics.json)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from lookright.files import open_csv, replacing
from lookright.metrics.faithfulness import area_under, prediction_change
from lookright.metrics.figure import Figure
from lookright.metrics.groups import group_mean, worst_group
from lookright.metrics.summary import as_json

CHANGES = ("background_blur", "background_mean", "background_swap", "object_removed")
"""How images are changed: the background blurred, of one colour, or another image's; the object gone."""

FAITHFULNESS = (
    "deletion_auc",
    "insertion_auc",
    "unchanged_accuracy",
    *(f"{change}_{told}" for change in CHANGES for told in ("accuracy", "change", "flips")),
)
"""Names of all figures."""

FAITHFULNESS_LESS_IS_BETTER = (
    "deletion_auc",
    *(f"{change}_{told}" for change in CHANGES[:3] for told in ("change", "flips")),
    "object_removed_accuracy",
)
"""Those of `FAITHFULNESS` that are low where a network uses what was marked, and its map says so."""


@dataclass(frozen=True)
class Faithfulness:
    """What was found for M images: those of a split with a positive mark and a part that is not marked."""

    id: tuple[str, ...]
    file: tuple[str, ...]
    group: tuple[str | None, ...]
    label: tuple[str, ...]
    """name of the true class"""
    probability: tuple[float, ...]
    """of the true class, for the image as it is"""
    predicted: dict[str, tuple[str, ...]]
    """"unchanged" and each of `CHANGES` -> name of the most probable class"""
    figures: dict[str, Tensor]
    """each of `FAITHFULNESS` -> (M,) float32, NaN where it is not defined for an image"""
    lender: tuple[str | None, ...]
    """id of the image whose background was lent, if there was one"""
    share: Tensor
    """(S + 1,) shares of the pixels"""
    deletion: Tensor
    """(M, S + 1)"""
    insertion: Tensor
    """(M, S + 1)"""

    @classmethod
    def of(
        cls,
        *,
        ids: Sequence[str],
        files: Sequence[str],
        groups: Sequence[str | None],
        labels: Tensor,
        classes: Sequence[str],
        before: Tensor,
        after: Mapping[str, Tensor],
        lender: Sequence[str | None],
        share: Tensor,
        deletion: Tensor,
        insertion: Tensor,
    ) -> Self:
        """Make the rows from what was predicted.

        Args:
            ids: M ids
            files: M file names
            groups: M names, None where an image has no group
            labels: (M,) int64
            classes: K names
            before: (M, K) probabilities for the images as they are
            after: each of `CHANGES` -> (M, K) probabilities for the changed images
            lender: M ids, None where an image got no other background
            share: (S + 1,), of `lookright.metrics.faithfulness.shares`
            deletion: (M, S + 1)
            insertion: (M, S + 1)
        """
        figures = {
            "deletion_auc": area_under(deletion, share),
            "insertion_auc": area_under(insertion, share),
            "unchanged_accuracy": (before.argmax(dim=1) == labels).float(),
        }
        alone = torch.tensor([one is None for one in lender], dtype=torch.bool)
        for change in CHANGES:
            for name, values in prediction_change(before, after[change], labels).items():
                undefined = alone if change == "background_swap" else torch.zeros_like(alone)
                figures[f"{change}_{name}"] = values.masked_fill(undefined, torch.nan)
        predictions = {"unchanged": before, **{change: after[change] for change in CHANGES}}
        return cls(
            id=tuple(ids),
            file=tuple(files),
            group=tuple(group or None for group in groups),
            label=tuple(classes[k] for k in labels.tolist()),
            probability=tuple(before.gather(1, labels[:, None])[:, 0].tolist()),
            predicted={
                name: tuple(classes[k] for k in values.argmax(dim=1).tolist())
                for name, values in predictions.items()
            },
            figures=figures,
            lender=tuple(lender),
            share=share,
            deletion=deletion,
            insertion=insertion,
        )

    def __len__(self) -> int:
        return len(self.id)

    def summary(self) -> dict[str, Any]:
        """What metrics.json says.

        Returns:
            - each of `FAITHFULNESS`, the mean over the images that define it: {"value": float | None,
              "n": int}
            - worst_group_background_swap_accuracy with its "group", where images have groups
            - faithfulness: "images", how many were changed, "share", the mean curves "deletion" and
              "insertion", and "by_group": figure -> group -> figure
        """
        found: dict[str, Any] = {
            name: Figure.mean(values.tolist()).as_json() for name, values in self.figures.items()
        }
        by_group = {name: group_mean(values.tolist(), self.group) for name, values in self.figures.items()}
        swapped = by_group["background_swap_accuracy"]
        if any(figure.n for figure in swapped.values()):
            group, worst = worst_group(swapped)
            found["worst_group_background_swap_accuracy"] = {**worst.as_json(), "group": group}
        found["faithfulness"] = {
            "images": len(self),
            "share": self.share.tolist(),
            "deletion": self.deletion.mean(dim=0).tolist(),
            "insertion": self.insertion.mean(dim=0).tolist(),
            "by_group": {name: as_json(groups) for name, groups in by_group.items() if groups},
        }
        return found

    def numbers(self) -> dict[str, float]:
        """The figures of `summary` as plain numbers, NaN where undefined, and faithfulness_images, M."""
        values = {name: figure["value"] for name, figure in self.summary().items() if "value" in figure}
        found = {name: math.nan if value is None else float(value) for name, value in values.items()}
        return found | {"faithfulness_images": float(len(self))}

    def to_csv(self, path: Path) -> None:
        """Write a row per image, a header first; empty where a value is not defined.

        Raises:
            DataError: the file cannot be written.
        """
        columns: dict[str, Sequence[object]] = {
            "id": self.id,
            "file": self.file,
            "label": self.label,
            "group": [group or "" for group in self.group],
            "predicted": self.predicted["unchanged"],
            "probability": self.probability,
        }
        columns |= {name: [_text(v) for v in values.tolist()] for name, values in self.figures.items()}
        columns |= {f"{change}_predicted": self.predicted[change] for change in CHANGES}
        columns["background_swap_predicted"] = [
            "" if lender is None else name
            for name, lender in zip(self.predicted["background_swap"], self.lender, strict=True)
        ]
        columns["background_from"] = [lender or "" for lender in self.lender]
        with replacing(Path(path)) as temporary, open_csv(temporary, "w") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def _text(value: float) -> str:
    return "" if math.isnan(value) else str(value)
