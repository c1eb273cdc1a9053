"""Predictions, explanations and their agreement with the annotations, for a whole data set in one sweep."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset, collate
from lookright.engine.trunk import FrozenTrunk
from lookright.errors import NonFiniteError
from lookright.explainers import Explainer
from lookright.metrics import localization
from lookright.models.modes import evaluating
from lookright.types import Normalization, Request, Target

PREDICTED = Request(target=Target.PREDICTED, normalization=Normalization.NONE)
"""What evaluation explains: the raw map of the predicted class."""


@dataclass(frozen=True)
class Inference:
    """What a network makes of N images, on the CPU."""

    id: tuple[str, ...]
    label: Tensor
    """(N,) int64"""
    annotated: Tensor
    """(N,) bool"""
    probabilities: Tensor
    """(N, K)"""
    explanation: Tensor
    """(N, h, w) raw map of the predicted class"""
    localization: dict[str, Tensor]
    """figure -> (N,), NaN where it is not defined for the image"""


def infer(
    explainer: Explainer,
    dataset: ExplanationDataset,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    workers: int = 0,
    progress: str | None = None,
    trunk: FrozenTrunk | None = None,
) -> Inference:
    """Predict and explain every image once, in evaluation mode and without a graph below the target layer.

    Args:
        explainer: of the network to run
        dataset: the images, without augmentation
        batch_size: images at a time
        device: where the network is
        workers: processes that load images
        progress: what the progress bar says; no bar if None
        trunk: features of the frozen part, where they are cached

    Returns:
        one row per image, in the order of the data set

    Raises:
        NonFiniteError: logits or a map with NaN or infinite values.
    """
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=collate, num_workers=workers)
    ids: list[str] = []
    columns: dict[str, list[Tensor]] = {}
    with evaluating(explainer.network), torch.no_grad():
        bar = tqdm(total=len(dataset), desc=progress, unit="image", disable=None if progress else True)
        for batch in loader:
            with trunk.serving(batch) if trunk else nullcontext():
                logits, maps = explainer(batch.image.to(device), None, PREDICTED)
            explanation = maps[PREDICTED]
            _check_finite(logits, explanation, batch.id)
            annotation, annotated = batch.annotation.to(device), batch.annotated.to(device)
            row = {
                "label": batch.label,
                "annotated": batch.annotated,
                "probabilities": logits.float().softmax(dim=1),
                "explanation": explanation[:, 0],
            } | {f"at/{k}": v for k, v in localization(explanation, annotation, annotated).items()}
            for name, value in row.items():
                columns.setdefault(name, []).append(value.cpu())
            ids.extend(batch.id)
            bar.update(len(batch.id))
        bar.close()
    stacked = {name: torch.cat(values) for name, values in columns.items()}
    return Inference(
        id=tuple(ids),
        label=stacked["label"],
        annotated=stacked["annotated"],
        probabilities=stacked["probabilities"],
        explanation=stacked["explanation"],
        localization={k.removeprefix("at/"): v for k, v in stacked.items() if k.startswith("at/")},
    )


def _check_finite(logits: Tensor, explanation: Tensor, ids: tuple[str, ...]) -> None:
    fine = torch.isfinite(logits).all(dim=1) & torch.isfinite(explanation).flatten(1).all(dim=1)
    if not bool(fine.all()):
        broken = [name for name, is_fine in zip(ids, fine.tolist(), strict=True) if not is_fine]
        raise NonFiniteError(
            f"the network's output is not finite for {', '.join(broken[:4])}{', ...' if broken[4:] else ''}; "
            "its training went wrong: train again with a smaller --lr, or go back to an earlier checkpoint"
        )
