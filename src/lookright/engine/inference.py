"""Predictions, explanations and their agreement with the annotations, for a whole data set in one sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from lookright.data.stream import Images
from lookright.engine.loading import load_batches
from lookright.engine.tasks import PLAIN, Output
from lookright.engine.trunk import FrozenTrunk
from lookright.errors import NonFiniteError
from lookright.explainers import CellEvidence, Explainer
from lookright.metrics import FIGURES, evidence_outside, localization
from lookright.models.modes import evaluating
from lookright.types import Batch, Normalization, Request, Rows, Target, Task

PREDICTED = Request(target=Target.PREDICTED, normalization=Normalization.NONE)
"""What evaluation explains: the raw map of the predicted class, or of the number."""

ANNOTATED = Request(target=Target.LABEL, normalization=Normalization.NONE)
"""What evaluation explains in a multi-label task: the raw map of each annotated class."""


@dataclass(frozen=True)
class Inference:
    """What a network makes of N images, on the CPU; R = N rows unless the task is multi-label."""

    id: tuple[str, ...]
    label: Tensor
    """(N,) int64, (N, K) or (N,) float32, as the task says"""
    annotated: Tensor
    """(R,) bool"""
    probabilities: Tensor
    """(N, K); (N, 1), the predicted numbers, of a regression"""
    explanation: Tensor
    """(R, h, w) raw map of the predicted class, of the row's class, or of the number"""
    localization: dict[str, Tensor]
    """figure -> (R,), NaN where it is not defined for the row"""
    rows: Rows | None = None
    """multi-label: image, of the N, and class of each row"""
    outside: dict[str, Tensor] | None = None
    """figure of `lookright.metrics.evidence_outside` -> (N,), where it was asked for"""


def infer(
    explainer: Explainer,
    dataset: Images,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    workers: int = 0,
    progress: str | None = None,
    trunk: FrozenTrunk | None = None,
    output: Output = PLAIN,
    batches: Iterable[Batch] | None = None,
    figures: Collection[str] = FIGURES,
    cells: CellEvidence | None = None,
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
        output: what the network's outputs mean
        batches: of the data set, where they are there already (see `load_batches`); `batch_size` and
            `workers` do not count then
        figures: of localization, those that are wanted
        cells: of the same network, where the evidence outside the annotation is wanted

    Returns:
        one row per image, or per image and annotated class, in the order of the data set (of a stream: in
        that of its shards, with workers in turns)

    Raises:
        NonFiniteError: logits or a map with NaN or infinite values.
    """
    if batches is None:
        batches = load_batches(dataset, batch_size, device=device, workers=workers, trunk=trunk)
    ids: list[str] = []
    columns: dict[str, list[Tensor]] = {}
    request = ANNOTATED if output.task is Task.MULTI_LABEL else PREDICTED
    with evaluating(explainer.network), torch.no_grad():
        bar = tqdm(total=len(dataset), desc=progress, unit="image", disable=None if progress else True)
        for batch in batches:
            with (
                trunk.serving(batch) if trunk else nullcontext(),
                cells.watch() if cells else nullcontext() as seen,
            ):
                logits, maps = explainer(batch.image.to(device), None, request, rows=_to(device, batch.rows))
            explanation = maps[request]
            _check_finite(logits, explanation, batch)
            row = {
                "label": batch.label,
                "annotated": batch.annotated,
                "probabilities": output.predict(logits),
                "explanation": explanation[:, 0],
            } | {f"at/{k}": v for k, v in _localization(explanation, batch, figures).items()}
            if cells is not None and seen is not None:
                found = _outside(cells, cells.evidence(seen), logits, batch)
                row |= {f"outside/{k}": v for k, v in found.items()}
            if batch.rows is not None:
                row |= {"row/image": batch.rows.image + len(ids), "row/label": batch.rows.label}
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
        localization=_named("at/", stacked),
        rows=Rows(stacked["row/image"], stacked["row/label"]) if "row/image" in stacked else None,
        outside=None if cells is None else _named("outside/", stacked),
    )


def _named(prefix: str, columns: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in columns.items() if name.startswith(prefix)}


def _outside(cells: CellEvidence, evidence: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """NaN also where the head proves not to be linear after all."""
    defined = batch.annotated.to(logits.device) & cells.is_exact(evidence, logits)
    return evidence_outside(evidence, logits, batch.annotation.to(logits.device), defined)


def _localization(explanation: Tensor, batch: Batch, figures: Collection[str]) -> dict[str, Tensor]:
    """NaN where there is no annotation, which costs nothing then."""
    rows = batch.annotated.nonzero()[:, 0]
    annotation = batch.annotation if len(rows) == len(batch.annotated) else batch.annotation[rows]
    rows, annotation = rows.to(explanation.device), annotation.to(explanation.device)
    everywhere = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    found = localization(explanation[rows], annotation, everywhere, figures=figures)
    undefined = explanation.new_full((len(explanation),), torch.nan)
    return {name: undefined.index_copy(0, rows, values) for name, values in found.items()}


def _to(device: torch.device | str, rows: Rows | None) -> Rows | None:
    return None if rows is None else Rows(rows.image.to(device), rows.label.to(device))


def _check_finite(logits: Tensor, explanation: Tensor, batch: Batch) -> None:
    fine = torch.isfinite(logits).all(dim=1)
    fine_map = torch.isfinite(explanation).flatten(1).all(dim=1)
    if batch.rows is None:
        fine &= fine_map
    else:
        fine[batch.rows.image.to(fine.device)[~fine_map]] = False
    if not bool(fine.all()):
        broken = [name for name, is_fine in zip(batch.id, fine.tolist(), strict=True) if not is_fine]
        raise NonFiniteError(
            f"the network's output is not finite for {', '.join(broken[:4])}{', ...' if broken[4:] else ''}; "
            "its training went wrong: train again with a smaller --lr, or go back to an earlier checkpoint"
        )
