"""The losses on one map against NumPy written from the formulas, and by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.losses import (
    CYBORG,
    GRADIA,
    HAICS,
    HINT,
    L1,
    PPCE,
    RRRG,
    Energy,
    ExplanationLoss,
    Objective,
    RRRStar,
    Term,
)
from lookright.types import Batch, Explained, Normalization

Array = NDArray[np.float64]


def apply(loss: ExplanationLoss, maps: Array, marks: Array) -> float:
    return loss(torch.tensor(maps)[:, None].float(), torch.tensor(marks)[:, None].float()).item()


def mean_of_images(formula: Callable[[Array, Array], float], maps: Array, marks: Array) -> float:
    return float(np.mean([formula(m, f) for m, f in zip(maps, marks, strict=True)]))


def squared(m: Array, f: Array) -> float:
    return ((m - f.clip(min=0)) ** 2).mean() if (f > 0).any() else 0.0


def absolute(m: Array, f: Array) -> float:
    return np.abs(m - f.clip(min=0)).mean() if (f > 0).any() else 0.0


def log_inside(m: Array, f: Array) -> float:
    return -np.log(m.clip(1e-6, 1 - 1e-6)[f > 0]).mean() if (f > 0).any() else 0.0


def energy(m: Array, f: Array) -> float:
    signed = np.maximum(m - 0.5, 0)
    return 1 - (signed * f.clip(min=0)).sum() / signed.sum() if (f > 0).any() else 0.0


def squares_off(m: Array, f: Array) -> float:
    return ((1 - f.clip(min=0)) * (m - 0.5) ** 2).sum() if (f > 0).any() else 0.0


def squares_on_negative(m: Array, f: Array) -> float:
    return ((-f).clip(min=0) * m**2).sum()


def graded(marks: Array) -> Array:
    """Marks of other magnitudes than one."""
    rng = np.random.default_rng(int(np.abs(marks).sum()))
    return marks * rng.choice([0.3, 0.6, 1.0], size=marks.shape)


@pytest.mark.parametrize("are_graded", [False, True])
@pytest.mark.parametrize(
    ("make", "formula", "shift"),
    [
        (HINT, squared, 0.0),
        (L1, absolute, 0.0),
        (PPCE, log_inside, 0.0),
        (Energy, energy, -0.5),
        (RRRStar, squares_off, -0.5),
        (RRRG, squares_on_negative, 0.0),
    ],
)
def test_losses_on_one_map(
    case: tuple[Array, Array],
    make: Callable[[], ExplanationLoss],
    formula: Callable[[Array, Array], float],
    shift: float,
    are_graded: bool,
) -> None:
    maps, marks = case[0], graded(case[1]) if are_graded else case[1]
    found = apply(make(), maps + shift, marks)  # the formulas of signed maps shift for themselves
    assert found == pytest.approx(mean_of_images(formula, maps, marks), rel=1e-5, abs=1e-6)


def test_energy_by_hand() -> None:
    """Rows: no positive energy, all of it inside, none inside, half of it; and the gradient of the last."""
    maps = torch.tensor([[-1.0, 0.0], [2.0, -9.0], [-1.0, 5.0], [3.0, 3.0]], requires_grad=True)
    marks = torch.tensor([[1.0, 0.0]] * 4)
    rows = [Energy()(maps[i].view(1, 1, 1, 2), marks[i].view(1, 1, 1, 2)) for i in range(4)]
    assert [row.item() for row in rows] == [1.0, 0.0, 1.0, 0.5]
    torch.stack(rows).sum().backward()
    # d/dm of 1 - m / (m + n) is -n / (m + n)^2 for m, m / (m + n)^2 for n
    expected = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [-3 / 36, 3 / 36]])
    torch.testing.assert_close(maps.grad, expected)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
def test_cyborg(case: tuple[Array, Array], alpha: float) -> None:
    maps, marks = case[0], graded(case[1])
    annotated = torch.tensor([True, True, True, True, False])
    result = CYBORG(alpha).evaluate(
        torch.tensor(maps)[:, None].float(), torch.tensor(marks)[:, None].float(), annotated
    )
    expected = (1 - alpha) * mean_of_images(squared, maps[:4], marks[:4])
    assert result.value.item() == pytest.approx(expected, abs=1e-6)
    # Image 2 has only negative marks, 3 none, 4 no annotation.
    assert result.prediction_weight.tolist() == pytest.approx([alpha, alpha, 1, 1, 1])


def test_cyborg_shares_the_image_between_prediction_and_explanation() -> None:
    """Boyd et al.: alpha CE + (1 - alpha) MSE."""
    logits, label = torch.randn(2, 3), torch.tensor([0, 2])
    maps, marks = torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    loss = CYBORG(0.3)
    objective = Objective([Term(loss)])
    batch = Batch(torch.zeros(2, 3, 2, 2), label, marks, torch.tensor([True, True]), ())
    found = objective(batch, Explained(logits, {loss.request: maps})).total
    expected = 0.3 * F.cross_entropy(logits, label) + 0.7 * F.mse_loss(maps, marks)
    torch.testing.assert_close(found, expected)


def test_gradia_by_reasonability() -> None:
    """One image for each cell of the matrix, one without a positive mark, one not annotated."""
    maps = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[[0, 1, 0, 1, 0, 0]].view(6, 1, 1, 2)
    marks = torch.tensor([[1.0, 0.0]] * 4 + [[-1.0, 0.0], [1.0, 0.0]]).view(6, 1, 1, 2)
    logits = torch.tensor([[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 4)
    annotated = torch.tensor([True] * 5 + [False])
    label = torch.zeros(6, dtype=torch.int64)  # the first two are predicted wrong
    result = GRADIA(reasonability=True).evaluate(maps, marks, annotated, logits=logits, label=label)
    assert result.prediction_weight.tolist() == pytest.approx([0.8, 1, 1, 0.4, 1, 1])
    # Distances of the images: 0, 1, 0, 1, 1/2.
    assert result.value.item() == pytest.approx((0.2 * 0 + 1 * 1 + 0 * 0 + 1.6 * 1 + 1 * 0.5) / 5)
    graded_maps = torch.tensor([[[[0.8, 0.3]]]])  # reasonable at a distance: the weight counts
    one = GRADIA(reasonability=True)(graded_maps, marks[:1], logits=logits[:1], label=label[:1])
    assert one.item() == pytest.approx(0.2 * (0.2 + 0.3) / 2)


def test_gradia_by_reasonability_needs_one_class_per_image() -> None:
    maps, marks = torch.rand(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    with pytest.raises(ConfigError, match="logits, label: missing"):
        GRADIA(reasonability=True)(maps, marks)
    with pytest.raises(ConfigError, match="one class per image"):
        GRADIA(reasonability=True)(maps, marks, logits=torch.rand(2, 1), label=torch.rand(2))


POINTWISE = {
    "all": (GRADIA, lambda m, t: np.abs(m - t), lambda f: np.ones_like(f)),
    "marked": (
        HAICS,
        lambda m, t: -(t * np.log(m.clip(1e-6, 1 - 1e-6)) + (1 - t) * np.log(1 - m.clip(1e-6, 1 - 1e-6))),
        lambda f: f != 0,
    ),
    "positive": (PPCE, lambda m, t: -np.log(m.clip(1e-6, 1 - 1e-6)), lambda f: f > 0),
}


@pytest.mark.parametrize("counted", POINTWISE)
def test_magnitude_as_weight(case: tuple[Array, Array], counted: str) -> None:
    """A weighted mean: the target is the sign, the weight of a marked cell its magnitude, of others one."""
    make, cells, counts = POINTWISE[counted]
    maps, marks = case[0], graded(case[1])

    def formula(m: Array, f: Array) -> float:
        weight = np.where(f != 0, np.abs(f), 1) * counts(f)
        total = (cells(m, (f > 0).astype(float)) * weight).sum()
        return total / weight.sum() if weight.sum() else 0.0

    loss = make()
    loss.magnitude_is_weight = True
    assert apply(loss, maps, marks) == pytest.approx(mean_of_images(formula, maps, marks), rel=1e-5, abs=1e-6)


def test_rrr_star_as_published_asks_for_a_rectified_map() -> None:
    assert RRRStar().request.normalization is Normalization.MAX_ABS
    assert RRRStar(published=True).request.normalization is Normalization.RELU_MAX


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_out_of_range_is_said(alpha: float) -> None:
    with pytest.raises(ConfigError, match=f"alpha: got {alpha}"):
        CYBORG(alpha)
