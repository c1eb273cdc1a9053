import math
from pathlib import Path

import pytest

from lookright.metrics import Cell
from lookright.report.compare import group_by_method
from lookright.report.gallery import Card, cards, choose
from lookright.report.runs import ImageResult, read_runs


def result(
    id: str, iou: float, correct: bool, predicted: str = "cat", probability: float = 0.9
) -> ImageResult:
    cell = None if math.isnan(iou) else Cell.of(iou >= 0.5, correct)
    return ImageResult(id, Path(id), "cat", predicted, probability, correct, "", iou, cell)


def card(id: str, *results: ImageResult) -> Card:
    return Card(id, Path(id), "cat", "", results)


@pytest.mark.parametrize("limit", [24, 30, 40])
def test_every_cell_of_every_method_has_an_example(six_methods: list[Path], limit: int) -> None:
    methods = group_by_method(read_runs(six_methods))
    everything = cards(methods)
    chosen = choose(everything, limit)
    assert len(chosen) == limit
    assert len({card.id for card in chosen}) == limit
    for index in range(len(methods)):
        there = {card.results[index].cell for card in everything}
        assert {card.results[index].cell for card in chosen} == there
    assert [card.iou for card in chosen] == sorted(card.iou for card in chosen)


def test_each_cell_gives_its_worst() -> None:
    everything = [card(f"{i}", result(f"{i}", i / 10, correct=i % 2 == 0)) for i in range(10)]
    # both wrong: 1, 3; right, looked wrong: 0, 2, 4; wrong, looked right: 5, 7, 9; both right: 6, 8
    assert [c.id for c in choose(everything, 4)] == ["0", "1", "5", "6"]
    assert [c.id for c in choose(everything, 1)] == ["1"]
    assert choose(everything, 0) == []
    assert len(choose(everything, 99)) == 10


def test_images_without_annotation_come_last() -> None:
    everything = [
        card("none", result("none", math.nan, correct=False)),
        card("good", result("good", 0.9, correct=True)),
        card("bad", result("bad", 0.1, correct=True)),
    ]
    assert [c.id for c in choose(everything, 3)] == ["bad", "good", "none"]


def test_disagreement_counts_predictions_before_ious() -> None:
    same = card("a", result("a", 0.0, True), result("a", 0.9, True))
    other = card("b", result("b", 0.4, True), result("b", 0.4, False, predicted="dog"))
    assert same.disagreement == pytest.approx(0.9)
    assert other.disagreement == 1.0
    assert card("c", result("c", math.nan, True)).disagreement == 0
