"""Oracles: loops over pixels in NumPy, scikit-image's resize, torchmetrics, scikit-learn, rows by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from skimage.transform import resize
from torchmetrics.functional.classification import binary_jaccard_index

from lookright.errors import NonFiniteError
from lookright.metrics import (
    binarize,
    energy_pointing_game,
    f1,
    iou,
    localization,
    pointing_game,
    precision,
    recall,
    rescale,
)

FIGURES = ("iou", "precision", "recall", "f1", "epg", "pointing_game")


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge pixel by pixel, from the definition: cell centres at (i + 0.5) * H / h, edges repeated."""

    def source(index: int, cells: int, pixels: int) -> tuple[int, int, float]:
        place = min(max((index + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
        low = min(int(place), cells - 1)
        return low, min(low + 1, cells - 1), place - low

    out = np.zeros((height, width))
    for row in range(height):
        top, bottom, down = source(row, grid.shape[0], height)
        for column in range(width):
            left, right, across = source(column, grid.shape[1], width)
            upper = grid[top, left] * (1 - across) + grid[top, right] * across
            lower = grid[bottom, left] * (1 - across) + grid[bottom, right] * across
            out[row, column] = upper * (1 - down) + lower * down
    return out


def by_hand(grid: np.ndarray, annotation: np.ndarray, threshold: float) -> dict[str, float]:
    """The figures of one image, pixel by pixel, from the formulas of the papers."""
    height, width = annotation.shape
    map_ = bilinear(grid - grid.min(), height, width)
    region = map_ / (map_.max() + 1e-6) > threshold
    energy = bilinear(np.maximum(grid, 0), height, width)
    tp = fp = fn = union = inside = 0.0
    top = map_ > map_.max() - 1e-9
    for row in range(height):
        for column in range(width):
            claimed, mark = bool(region[row, column]), annotation[row, column]
            tp += claimed and mark > 0
            fp += claimed and mark < 0
            fn += (not claimed) and mark > 0
            union += claimed or mark > 0
            inside += energy[row, column] * (mark > 0)
    p, r = tp / (tp + fp + 1e-6), tp / (tp + fn + 1e-6)
    return {
        "iou": tp / union,
        "precision": p,
        "recall": r,
        "f1": 2 * p * r / (p + r + 1e-6),
        "epg": inside / energy.sum(),
        "pointing_game": float((annotation[top] > 0).mean() >= 0.5),
    }


def random_pair(seed: int, images: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    explanation = torch.randn(images, 1, 5, 7, generator=generator)
    annotation = torch.randint(-1, 2, (images, 1, 24, 30), generator=generator).float()
    return explanation, annotation * torch.rand(annotation.shape, generator=generator).clamp(min=0.1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.8])
def test_figures_equal_loops_over_pixels(threshold: float) -> None:
    explanation, annotation = random_pair(seed=0)
    figures = localization(explanation, annotation, torch.ones(6, dtype=torch.bool), threshold)
    for image in range(6):
        expected = by_hand(explanation[image, 0].double().numpy(), annotation[image, 0].numpy(), threshold)
        for name in FIGURES:
            assert figures[name][image].item() == pytest.approx(expected[name], abs=2e-6), name


def test_single_functions_equal_the_joint_one() -> None:
    explanation, annotation = random_pair(seed=1)
    figures = localization(explanation, annotation, torch.ones(6, dtype=torch.bool), 0.4)
    region = binarize(explanation, (24, 30), 0.4)
    torch.testing.assert_close(figures["iou"], iou(region, annotation))
    torch.testing.assert_close(figures["precision"], precision(region, annotation))
    torch.testing.assert_close(figures["recall"], recall(region, annotation))
    torch.testing.assert_close(figures["f1"], f1(region, annotation))
    torch.testing.assert_close(figures["epg"], energy_pointing_game(explanation, annotation))
    torch.testing.assert_close(figures["pointing_game"], pointing_game(explanation, annotation))


def test_region_figures_equal_torchmetrics_and_sklearn() -> None:
    explanation, annotation = random_pair(seed=2)
    region = binarize(explanation, (24, 30))
    marked = annotation != 0
    for image in range(6):
        expected = binary_jaccard_index(region[image].int(), (annotation[image] > 0).int())
        assert iou(region, annotation)[image].item() == pytest.approx(expected.item(), abs=1e-6)
        truth = (annotation[image][marked[image]] > 0).numpy()
        claimed = region[image][marked[image]].numpy()
        p, r, f, _ = sklearn.metrics.precision_recall_fscore_support(truth, claimed, average="binary")
        assert precision(region, annotation)[image].item() == pytest.approx(p, abs=1e-5)
        assert recall(region, annotation)[image].item() == pytest.approx(r, abs=1e-5)
        assert f1(region, annotation)[image].item() == pytest.approx(f, abs=1e-5)


@pytest.mark.parametrize(("cells", "pixels"), [((7, 7), (224, 224)), ((7, 5), (31, 44)), ((1, 1), (8, 8))])
def test_rescale_equals_scikit_image(cells: tuple[int, int], pixels: tuple[int, int]) -> None:
    explanation = torch.randn(1, 1, *cells, generator=torch.Generator().manual_seed(3)) * 5 - 2
    shifted = (explanation - explanation.min())[0, 0].double().numpy()
    enlarged = resize(shifted, pixels, order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(
        rescale(explanation, pixels)[0, 0].numpy(), enlarged / (enlarged.max() + 1e-6), atol=1e-5
    )


def test_maximum_is_that_of_the_enlarged_map() -> None:
    # 4 cells in 2 pixels: no pixel reaches the largest cell, so the map is divided by what pixels reach.
    explanation = torch.tensor([[[[0.0, 0.0, 1.0, 3.0]]]])
    assert rescale(explanation, (1, 2)).tolist()[0][0][0] == pytest.approx([0.0, 1.0], abs=1e-5)


def test_one_image_by_hand() -> None:
    explanation = torch.tensor([[[[4.0, 2.0], [-1.0, 0.0]]]])  # shifted 5 3 0 1, threshold 2.5
    annotation = torch.tensor([[[[1.0, -1.0], [1.0, 0.0]]]])
    figures = localization(explanation, annotation, torch.tensor([True]))
    expected = {"iou": 1 / 3, "precision": 0.5, "recall": 0.5, "f1": 0.5, "epg": 2 / 3, "pointing_game": 1.0}
    assert {name: values.item() for name, values in figures.items()} == pytest.approx(expected, abs=2e-6)


NAN = math.nan
# A map that claims the left half, annotation -> figures.
ONE_SIDED = {
    "both signs": ([1.0, 1.0, -1.0, -1.0], dict.fromkeys(FIGURES[:4], 1) | {"pointing_game": 1}),
    "missed": ([-1.0, -1.0, 1.0, 1.0], dict.fromkeys(FIGURES[:4], 0) | {"pointing_game": 0}),
    "only positive": ([1.0, 1.0, 0.0, 0.0], {"iou": 1, "precision": NAN, "recall": 1, "f1": NAN}),
    "full": ([1.0, 1.0, 1.0, 1.0], {"iou": 0.5, "precision": NAN, "recall": 0.5, "f1": NAN, "epg": 1}),
    "only negative": ([-1.0, 0.0, 0.0, 0.0], dict.fromkeys(FIGURES, NAN)),
    "full negative": ([-1.0, -1.0, -1.0, -1.0], dict.fromkeys(FIGURES, NAN)),
    "empty": ([0.0, 0.0, 0.0, 0.0], dict.fromkeys(FIGURES, NAN)),
}


@pytest.mark.parametrize("case", ONE_SIDED)
def test_one_sided_annotations(case: str) -> None:
    marks, expected = ONE_SIDED[case]
    explanation = torch.tensor([[[[1.0, 0.0]]]])
    figures = localization(explanation, torch.tensor([[[marks]]]), torch.tensor([True]))
    for name, value in expected.items():
        assert figures[name].item() == pytest.approx(value, abs=2e-6, nan_ok=True), name


def test_maximum_in_a_corner_is_shared_by_its_pixels() -> None:
    explanation = torch.tensor([[[[0.3, 0.1], [0.2, 0.1]]]])
    annotation = torch.zeros(1, 1, 8, 8)
    assert rescale(explanation, (8, 8))[0, 0, :2, :2].amin() > 1 - 1e-4
    annotation[..., 0, 0] = 1
    assert pointing_game(explanation, annotation).item() == 0
    annotation[..., 0, :2] = 1
    assert pointing_game(explanation, annotation).item() == 1


@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_constant_map(value: float) -> None:
    annotation = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
    explanation = torch.full((1, 1, 1, 1), value)
    assert not binarize(explanation, (2, 2)).any()
    figures = {n: v.item() for n, v in localization(explanation, annotation, torch.tensor([True])).items()}
    assert [figures[n] for n in ("iou", "precision", "recall", "f1", "pointing_game")] == [0.0] * 5
    # Spread evenly, a quarter of the evidence lies on a quarter of the image; with none there is no share.
    assert figures["epg"] == pytest.approx(0.25 if value > 0 else NAN, nan_ok=True)


def test_image_that_is_not_annotated_defines_nothing() -> None:
    explanation, annotation = random_pair(seed=4, images=2)
    figures = localization(explanation, annotation, torch.tensor([True, False]))
    for values in figures.values():
        assert values.isnan().tolist() == [False, True]


def test_images_do_not_influence_each_other() -> None:
    explanation, annotation = random_pair(seed=5)
    together = localization(explanation, annotation, torch.ones(6, dtype=torch.bool))
    for image in range(6):
        one = slice(image, image + 1)
        alone = localization(explanation[one], annotation[one], torch.tensor([True]))
        for name in FIGURES:
            torch.testing.assert_close(alone[name], together[name][one])


@pytest.mark.parametrize(("scale", "shift"), [(1e-2, 0.0), (7.0, -30.0), (1e3, 5.0)])
def test_affine_rescaling_of_the_map_changes_only_energy(scale: float, shift: float) -> None:
    explanation, annotation = random_pair(seed=6, images=20)
    annotated = torch.ones(20, dtype=torch.bool)
    before = localization(explanation, annotation, annotated)
    after = localization(explanation * scale + shift, annotation, annotated)
    for name in set(FIGURES) - {"epg"}:
        # A pixel at the threshold may tip over by rounding: one of some 240 marked ones.
        torch.testing.assert_close(before[name], after[name], atol=1e-2, rtol=0)
    torch.testing.assert_close(
        before["epg"], localization(explanation * scale, annotation, annotated)["epg"], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision_is_measured_in_float32(dtype: torch.dtype) -> None:
    explanation, annotation = random_pair(seed=7)
    narrow = explanation.to(dtype)
    annotated = torch.ones(6, dtype=torch.bool)
    expected = localization(narrow.float(), annotation.to(dtype).float(), annotated)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        figures = localization(narrow, annotation.to(dtype), annotated)
    for name in FIGURES:
        assert figures[name].dtype == torch.float32
        torch.testing.assert_close(figures[name], expected[name], rtol=0, atol=0)


def test_no_images() -> None:
    figures = localization(torch.zeros(0, 1, 7, 7), torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.bool))
    assert all(values.shape == (0,) for values in figures.values())


def test_explanation_that_requires_grad_gives_figures_that_do_not() -> None:
    explanation, annotation = random_pair(seed=8)
    figures = localization(explanation.requires_grad_(), annotation, torch.ones(6, dtype=torch.bool))
    assert not any(values.requires_grad for values in figures.values())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_explanation_names_the_image(bad: float) -> None:
    explanation, annotation = random_pair(seed=9)
    explanation[2, 0, 1, 1] = bad
    with pytest.raises(NonFiniteError, match=r"image\(s\) \[2\] of the batch"):
        localization(explanation, annotation, torch.ones(6, dtype=torch.bool))


def test_wrong_shapes_are_named() -> None:
    explanation, annotation = random_pair(seed=10)
    annotated = torch.ones(6, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"explanation: .*reduce several channels"):
        localization(explanation.expand(-1, 3, -1, -1), annotation, annotated)
    with pytest.raises(ValueError, match="annotation: "):
        localization(explanation, annotation[:, 0], annotated)
    with pytest.raises(ValueError, match="annotated: "):
        localization(explanation, annotation, annotated[:2])
    with pytest.raises(ValueError, match=r"threshold: .*got 1.0"):
        localization(explanation, annotation, annotated, threshold=1.0)
    with pytest.raises(ValueError, match="region and annotation: "):
        iou(binarize(explanation, (8, 8)), annotation)


@pytest.mark.parametrize("figures", [["iou"], ["epg"], ["pointing_game", "f1"], []])
def test_asking_for_some_gives_these_as_they_are(figures: list[str]) -> None:
    explanation = torch.rand(11, 1, 5, 4)
    annotation = torch.randint(-1, 2, (11, 1, 20, 24)).float()
    annotated = torch.arange(11) % 3 > 0
    every = localization(explanation, annotation, annotated)
    some = localization(explanation, annotation.to(torch.int8), annotated, figures=figures)
    assert set(some) == set(figures)
    for name in figures:
        assert torch.equal(some[name].nan_to_num(-1), every[name].nan_to_num(-1))


def test_a_figure_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="figures: no dice; there are iou, precision"):
        localization(torch.rand(1, 1, 2, 2), torch.ones(1, 1, 4, 4), torch.ones(1).bool(), figures=["dice"])
