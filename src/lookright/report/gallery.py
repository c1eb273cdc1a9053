"""Choose the images of the gallery: every cell of every method's reasonability matrix, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lookright.errors import ConfigError
from lookright.metrics import Cell
from lookright.report.compare import MethodRuns
from lookright.report.runs import ImageResult

# Cells take turns in this order: wrong for a wrong reason first.
_TURN = (
    Cell.UNREASONABLE_INACCURATE,
    Cell.UNREASONABLE_ACCURATE,
    Cell.REASONABLE_INACCURATE,
    Cell.REASONABLE_ACCURATE,
    None,
)


@dataclass(frozen=True)
class Card:
    """One image of the gallery, or one class of it, and what each method made of it (first seed)."""

    id: str
    file: Path
    label: str
    group: str
    results: tuple[ImageResult, ...]
    """one per method"""

    @property
    def image(self) -> str:
        """Id of the image."""
        return self.results[0].image

    @property
    def explained(self) -> str | None:
        """Multi-label: the class that the explanations are of."""
        return self.results[0].explained

    @property
    def iou(self) -> float:
        """Mean IoU over the methods; NaN where the image has no annotation to agree with."""
        return _mean(result.iou for result in self.results)

    @property
    def probability(self) -> float:
        """Mean probability of the predicted class over the methods."""
        return _mean(result.probability for result in self.results)

    @property
    def disagreement(self) -> float:
        """How far the methods are apart: predicted classes beyond the first, plus the range of their IoU."""
        ious = [result.iou for result in self.results if math.isfinite(result.iou)]
        predicted = {result.predicted for result in self.results if result.correct is not None}
        return max(len(predicted), 1) - 1 + (max(ious) - min(ious) if ious else 0.0)


def cards(methods: Sequence[MethodRuns]) -> list[Card]:
    """All evaluated images, worst mean IoU first, those without an IoU last."""
    evaluations = [method.first.evaluation.results for method in methods]
    found = []
    for id, result in evaluations[0].items():
        results = tuple(results[id] for results in evaluations)
        found.append(Card(id, result.file, result.label, result.group, results))
    return sorted(found, key=lambda card: _order(card.iou, card))


def check_gallery(gallery: int) -> None:
    """Refuse a negative number of images.

    Raises:
        ConfigError: it is one.
    """
    if gallery < 0:
        raise ConfigError(f"gallery: a number of images, 0 or more, got {gallery}")


def choose(all_cards: Sequence[Card], limit: int) -> list[Card]:
    """Pick at most `limit` cards so that no cell of any method goes without an example.

    First each cell that has no example yet gives its image of worst IoU; then the cells take turns. Images
    in no cell, for want of an annotation, count as one more cell. With a limit below the number of non-empty
    cells not all can have an example.

    Args:
        all_cards: every evaluated image, as `cards` gives them
        limit: most images to show; 0 for none

    Returns:
        The chosen cards, worst mean IoU first.
    """
    queues: dict[tuple[int, int], list[Card]] = {}
    for card in all_cards:
        for method, result in enumerate(card.results):
            queues.setdefault((_TURN.index(result.cell), method), []).append(card)
    for (_, method), queue in queues.items():
        queue.sort(key=partial(_by_method, method))
    chosen: dict[str, Card] = {}
    represented: set[tuple[int, int]] = set()

    def take(queue: list[Card]) -> None:
        card = next((card for card in queue if card.id not in chosen), None)
        if card is not None and len(chosen) < limit:
            chosen[card.id] = card
            represented.update((_TURN.index(r.cell), method) for method, r in enumerate(card.results))

    for key in sorted(queues):
        if key not in represented:
            take(queues[key])
    while len(chosen) < min(limit, len(all_cards)):
        for key in sorted(queues):
            take(queues[key])
    return sorted(chosen.values(), key=lambda card: _order(card.iou, card))


def _by_method(method: int, card: Card) -> tuple[bool, float, float, str]:
    return _order(card.results[method].iou, card)


def _order(iou: float, card: Card) -> tuple[bool, float, float, str]:
    """Worst IoU first; images without one last, the least certain of them first."""
    return (math.isnan(iou), 0.0 if math.isnan(iou) else iou, card.probability, card.id)


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
