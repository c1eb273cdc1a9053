import numpy as np
import pytest
import torch
from torch import Tensor

from lookright.audit.regions import REGIONS, Place, border_share, densest_place, region_shares
from lookright.errors import ConfigError

FINE = 840  # a multiple of every side below, of 4, 8 and 3


def fine(explanation: Tensor) -> np.ndarray:
    """The map with every cell drawn out in pixels, positive part, sum 1."""
    values = explanation.clamp(min=0).numpy()
    h, w = values.shape
    drawn = values.repeat(FINE // h, axis=0).repeat(FINE // w, axis=1)
    return drawn / drawn.sum()


def maps(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (5, 12), (2, 3), (1, 1)])
def test_shares_are_those_of_pixels(size: tuple[int, int]) -> None:
    explanation = maps(3, *size).abs()
    quarter = FINE // 4
    bands = (slice(None, quarter), slice(quarter, -quarter), slice(-quarter, None))
    expected = [
        [fine(one)[rows, columns].sum() for rows in bands for columns in bands] for one in explanation
    ]
    torch.testing.assert_close(
        region_shares(explanation), torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0
    )


def test_negative_evidence_does_not_count_and_nothing_positive_is_undefined() -> None:
    explanation = torch.stack([-torch.ones(4, 4), torch.tensor([[1.0, -9.0], [0.0, 0.0]]).repeat(2, 2)])
    shares = region_shares(explanation)
    assert shares[0].isnan().all()
    torch.testing.assert_close(shares[1].sum(), torch.tensor(1.0))
    assert border_share(explanation)[0].isnan()


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (5, 12)])
def test_border_is_an_eighth_deep(size: tuple[int, int]) -> None:
    explanation = maps(2, *size, seed=1)
    eighth = FINE // 8
    inner = slice(eighth, -eighth)
    expected = [1 - fine(one)[inner, inner].sum() for one in explanation]
    torch.testing.assert_close(
        border_share(explanation), torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("seed", range(3))
def test_densest_place_holds_what_it_says_and_no_place_tried_holds_more(seed: int) -> None:
    explanation = maps(7, 7, seed=seed)
    place, drawn = densest_place(explanation), fine(explanation)
    third = FINE // 3
    starts = np.linspace(0, FINE - third, 13).round().astype(int)
    held = {
        (top, left): drawn[top : top + third, left : left + third].sum() for top in starts for left in starts
    }
    assert place.share == pytest.approx(max(held.values()), abs=2e-3)
    at = round(place.top * FINE), round(place.left * FINE)
    assert drawn[at[0] : at[0] + third, at[1] : at[1] + third].sum() == pytest.approx(place.share, abs=2e-3)


@pytest.mark.parametrize(("row", "column", "name"), [(0, 0, "top left"), (3, 6, "right"), (3, 3, "centre")])
def test_a_place_has_the_name_of_the_region_of_its_middle(row: int, column: int, name: str) -> None:
    explanation = torch.zeros(7, 7)
    explanation[row, column] = 1
    assert densest_place(explanation).name == name
    starts = (0, 1 / 3, 2 / 3)
    assert {Place(top, left, 1 / 3, 1.0).name for top in starts for left in starts} == set(REGIONS)


@pytest.mark.parametrize("edge", [0.0, 0.5, -1.0])
def test_an_edge_that_leaves_no_middle_is_refused(edge: float) -> None:
    with pytest.raises(ConfigError, match="edge: got"):
        region_shares(torch.ones(1, 2, 2), edge=edge)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"explanation: \(N, h, w\)"):
        region_shares(torch.ones(2, 2))
    with pytest.raises(ValueError, match="nothing is positive"):
        densest_place(torch.zeros(3, 3))
    with pytest.raises(ConfigError, match="side: got 2"):
        densest_place(torch.ones(3, 3), side=2)
