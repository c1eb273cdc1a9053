"""Against plain NumPy: pixels replaced one by one for a linear model, convolutions as double sums."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from lookright.errors import ConfigError
from lookright.metrics.faithfulness import (
    area_under,
    blurred,
    dilate,
    pixel_rank,
    prediction_change,
    score_curve,
    shares,
)

Array = NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def enlarged(small: Array, side: int) -> Array:
    """Bilinear, align_corners=False: the value at the centre of each pixel."""
    at = ((np.arange(side) + 0.5) * len(small) / side - 0.5).clip(0, len(small) - 1)
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, len(small) - 1), at - low
    rows = small[low] * (1 - part[:, None]) + small[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def by_hand(
    weight: Array, image: Array, baseline: Array, importance: Array, steps: int
) -> tuple[list[float], list[float]]:
    """Curves of the model sum(weight * image): pixels replaced in a loop, the most important first."""
    order = sorted(range(importance.size), key=lambda i: (-importance.flat[i], i))
    deletion, insertion = [], []
    for step in range(steps + 1):
        deleted, inserted = image.copy(), baseline.copy()
        for place in order[: int(np.rint(step / steps * importance.size))]:
            y, x = divmod(place, importance.shape[1])
            deleted[:, y, x], inserted[:, y, x] = baseline[:, y, x], image[:, y, x]
        deletion.append(float((weight * deleted).sum()))
        insertion.append(float((weight * inserted).sum()))
    return deletion, insertion


@pytest.mark.parametrize("side", [2, 3, 8, 13])
def test_rank_is_the_order_of_the_enlarged_map(side: int) -> None:
    small = np.array([[0.1, 0.9, 0.2], [0.4, -0.5, 0.7], [0.3, 0.6, 0.8]])
    rank = pixel_rank(torch.tensor(small)[None, None], (side, side))[0, 0].numpy()
    large = enlarged(small, side).astype(np.float32)
    assert sorted(rank.flat) == list(range(side * side))
    in_order = large.flat[np.argsort(rank.flat)]
    assert (np.diff(in_order) <= 1e-6).all()


def test_among_equals_the_upper_left_one_comes_first() -> None:
    rank = pixel_rank(torch.zeros(2, 1, 2, 2), (3, 3))
    assert torch.equal(rank, torch.arange(9).view(1, 1, 3, 3).expand(2, 1, 3, 3))


@pytest.mark.parametrize("steps", [1, 2, 5, 36, 50])
def test_curves_of_a_linear_model_are_those_of_a_loop(steps: int) -> None:
    image, baseline, weight = random(4, 3, 6, 6), random(4, 3, 6, 6, seed=1), random(3, 6, 6, seed=2) - 0.5
    importance = random(4, 1, 6, 6, seed=3)
    importance[1] = 0.5  # all equal
    importance[2, 0, :3] = 0.5  # half of them
    share, rank = shares(steps), pixel_rank(importance, (6, 6))

    def score(x: Tensor) -> Tensor:
        return (weight * x).sum(dim=(1, 2, 3))

    found = (
        score_curve(score, image, baseline, rank, share),
        score_curve(score, baseline, image, rank, share),
    )
    for i in range(4):
        arrays = (t.double().numpy() for t in (weight, image[i], baseline[i], importance[i, 0]))
        for curve, expected in zip(found, by_hand(*arrays, steps), strict=True):
            np.testing.assert_allclose(curve[i].numpy(), expected, atol=1e-4)
            area = area_under(curve, share)[i].item()
            assert area == pytest.approx(np.trapezoid(expected, dx=1 / steps), abs=1e-4)
    # of a linear model, what is deleted and what is inserted make up the whole
    whole = found[0][:, :1] + found[0][:, -1:]
    torch.testing.assert_close(found[0] + found[1], whole.expand(-1, steps + 1), atol=1e-4, rtol=0)


def test_areas_that_one_can_work_out() -> None:
    """Four pixels that give 8, 4, 2 and 1; the map knows their order, or has it upside down."""
    image = torch.tensor([8.0, 4.0, 2.0, 1.0]).view(1, 1, 2, 2).expand(2, 3, 2, 2)
    maps = torch.tensor([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]]).view(2, 1, 2, 2)
    share, rank = shares(4), pixel_rank(maps, (2, 2))

    def score(x: Tensor) -> Tensor:
        return x[:, 0].sum(dim=(1, 2))

    deletion = score_curve(score, image, image * 0, rank, share)
    insertion = score_curve(score, image * 0, image, rank, share)
    assert deletion.tolist() == [[15, 7, 3, 1, 0], [15, 14, 12, 8, 0]]
    assert insertion.tolist() == [[0, 8, 12, 14, 15], [0, 1, 3, 7, 15]]
    assert area_under(deletion, share).tolist() == [(7.5 + 7 + 3 + 1) / 4, (7.5 + 14 + 12 + 8) / 4]
    assert area_under(insertion, share).tolist() == [(8 + 12 + 14 + 7.5) / 4, (1 + 3 + 7 + 7.5) / 4]


def test_no_order_is_better_than_that_of_the_contributions() -> None:
    image, weight = random(1, 3, 5, 5), random(3, 5, 5, seed=1) - 0.5
    share = shares(25)

    def score(x: Tensor) -> Tensor:
        return (weight * x).sum(dim=(1, 2, 3))

    def areas(importance: Tensor) -> tuple[float, float]:
        rank = pixel_rank(importance, (5, 5))
        deletion = score_curve(score, image, image * 0, rank, share)
        insertion = score_curve(score, image * 0, image, rank, share)
        return area_under(deletion, share).item(), area_under(insertion, share).item()

    deletion, insertion = areas((weight * image).sum(dim=1, keepdim=True))
    for seed in range(20):
        other = areas(random(1, 1, 5, 5, seed=100 + seed))
        assert deletion < other[0]
        assert insertion > other[1]


@pytest.mark.parametrize(("margin", "radius"), [(0.0, 0), (0.1, 1), (0.25, 3), (0.9, 11)])
def test_dilation_is_that_of_scipy(margin: float, radius: int) -> None:
    region = random(3, 1, 9, 12) > 0.95
    found = dilate(region, margin)
    for i in range(3):
        expected = ndimage.maximum_filter(
            region[i, 0].numpy(), size=2 * radius + 1, mode="constant", cval=False
        )
        assert np.array_equal(found[i, 0].numpy(), expected)


def test_blur_is_the_double_sum() -> None:
    image, region = random(2, 3, 6, 9), random(2, 1, 6, 9, seed=1) > 0.5
    found = blurred(image, region, blur=0.2)
    sigma = 0.2 * 9
    for i in range(2):
        x, r = image[i].double().numpy(), region[i, 0].double().numpy()
        mean = (x * r).sum(axis=(1, 2)) / r.sum()
        kernels = [
            np.exp(-((np.arange(n)[:, None] - np.arange(n)) ** 2) / (2 * sigma**2)) for n in x.shape[1:]
        ]
        kernels = [kernel / kernel.sum(axis=1).max() for kernel in kernels]
        for v, u in np.ndindex(6, 9):
            near = np.outer(kernels[0][v], kernels[1][u]) * r
            expected = ((near * x).sum(axis=(1, 2)) + 1e-3 * mean) / (near.sum() + 1e-3)
            np.testing.assert_allclose(found[i, :, v, u].numpy(), expected, rtol=1e-4)


def test_nothing_of_the_other_pixels_is_left() -> None:
    image, region = random(1, 3, 16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    region[..., :6] = True
    other = torch.where(region, image, 1000 * random(1, 3, 16, 16, seed=1))
    assert torch.equal(blurred(image, region, 0.1), blurred(other, region, 0.1))
    mean = image[..., :6].mean(dim=(2, 3))
    far = blurred(image, region, 0.05)[..., -1]
    torch.testing.assert_close(far, mean[:, :, None].expand_as(far))


def test_changes_of_predictions_are_those_of_a_loop() -> None:
    before, after = random(50, 4).softmax(1), random(50, 4, seed=1).softmax(1)
    label = torch.arange(50) % 4
    found = prediction_change(before, after, label)
    for i, k in enumerate(label.tolist()):
        then, now = before[i].numpy(), after[i].numpy()
        assert found["accuracy"][i] == (now.argmax() == k)
        assert found["flips"][i] == (now.argmax() != then.argmax())
        assert found["change"][i] == pytest.approx(abs(then[k] - now[k]), abs=1e-6)


@pytest.mark.parametrize("steps", [0, -1])
def test_too_few_steps(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"steps: got {steps}, need 1 or more"):
        shares(steps)


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_margin_out_of_range(margin: float) -> None:
    with pytest.raises(ConfigError, match=f"margin: got {margin}"):
        dilate(torch.zeros(1, 1, 2, 2, dtype=torch.bool), margin)


def test_blur_out_of_range() -> None:
    with pytest.raises(ConfigError, match="blur: got 0, need a share of the image above 0"):
        blurred(torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool), 0)


def test_wrong_shapes() -> None:
    image, rank = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.int64)
    score = torch.Tensor.sum
    with pytest.raises(ValueError, match="explanation:"):
        pixel_rank(torch.zeros(2, 4, 4), (4, 4))
    with pytest.raises(ValueError, match="start, end:"):
        score_curve(score, image, image[:1], rank, shares(2))
    with pytest.raises(ValueError, match="rank:"):
        score_curve(score, image, image, rank[:1], shares(2))
    with pytest.raises(ValueError, match="share: from 0 to 1"):
        score_curve(score, image, image, rank, torch.tensor([0.0, 0.5]))
    with pytest.raises(ValueError, match="before, after, label:"):
        prediction_change(torch.zeros(2, 3), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
