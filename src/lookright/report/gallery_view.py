"""What the page shows of the images of the gallery: pictures, captions, and what it sorts and filters by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lookright.errors import DataError
from lookright.report.compare import MethodRuns
from lookright.report.gallery import Card
from lookright.report.pictures import Photos, explanation
from lookright.report.runs import ImageResult


def gallery_view(methods: Sequence[MethodRuns], chosen: Sequence[Card]) -> dict[str, Any]:
    """The cards with their pictures, and what the page sorts and filters them by."""
    if not chosen:
        return {"gallery_cards": [], "gallery_data": [], "gallery_note": ""}
    photos = Photos(methods[0].first.config)
    maps = [method.first.evaluation.explanations for method in methods]
    views, data = [], []
    for card in chosen:
        photo = photos.embed(card.image, card.file, card.explained)
        looks = []
        for method, result, explanations in zip(methods, card.results, maps, strict=True):
            if card.id not in explanations:
                file = method.first.evaluation.folder / "explanations.npz"
                raise DataError(f"{file}: lacks image '{card.id}'; evaluate the run again")
            looks.append(_look(result, explanation(explanations[card.id], photo.size)))
        style = f"--ratio: {photo.size[0]} / {photo.size[1]}"
        views.append(
            {
                "style": f"{style}; --photo: url({photo.uri})" if photo.uri else style,
                "photo": photo.uri is not None,
                "tiny": photo.tiny,
                "outline": photo.outline,
                "name": card.file.name,
                "label": _shown(card.label, card.explained),
                "explained": card.explained,
                "group": card.group,
                "notes": photo.notes,
                "looks": looks,
            }
        )
        data.append(
            {
                "name": card.file.name,
                "label": card.explained or card.label,
                "iou": _json(card.iou),
                "probability": _json(card.probability),
                "disagreement": card.disagreement,
                "methods": [
                    {
                        "iou": _json(result.iou),
                        "probability": _json(result.probability),
                        "cell": result.cell.value if result.cell else None,
                    }
                    for result in card.results
                ],
            }
        )
    return {"gallery_cards": views, "gallery_data": data, "gallery_note": photos.note}


def _look(result: ImageResult, heat: str) -> dict[str, Any]:
    if result.correct is None:
        verdict = f"predicted {float(result.predicted):.6g}"
        told = f"off by {abs(float(result.predicted) - float(result.label)):.4g}"
    else:
        verdict = "✓ right" if result.correct else "✗ wrong"
        told = f"{100 * result.probability:.0f} %"
        if result.explained is None:
            verdict += f": {result.predicted}"
        else:
            is_said = result.explained in result.predicted_names
            verdict += f": {result.explained} {'present' if is_said else 'absent'}"
            told += f", predicted {_shown(result.predicted, result.explained)}"
    return {
        "heat": heat,
        "correct": result.correct,
        "verdict": verdict,
        "of": result.explained or result.predicted,
        "told": told,
        "iou": f"IoU {result.iou:.2f}" if math.isfinite(result.iou) else "no IoU",
    }


def _shown(names: str, explained: str | None) -> str:
    """Names of classes as people list them."""
    return names if explained is None else names.replace(";", ", ") or "no class"


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
