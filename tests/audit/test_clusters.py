import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from lookright.audit.clusters import cluster_explanations, embed_explanations
from lookright.errors import ConfigError

CORNERS = ((0, 0), (0, 6), (6, 0), (6, 6), (3, 3))


def planted(counts: tuple[int, ...], *, noise: float = 0.15, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Maps with a bump in one of five places, in mixed order, and the place of each."""
    generator = torch.manual_seed(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    truth = truth[torch.randperm(len(truth), generator=generator).numpy()]
    maps = noise * torch.rand(len(truth), 7, 7, generator=generator)
    for row, place in enumerate(truth):
        maps[row, CORNERS[place][0], CORNERS[place][1]] += 1 + torch.rand((), generator=generator)
    return maps * (0.1 + 10 * torch.rand(len(truth), 1, 1, generator=generator)), truth


@pytest.mark.parametrize("counts", [(40, 25), (30, 20, 20, 20), (25, 25, 25, 25, 25), (300, 200)])
def test_planted_groups_are_found(counts: tuple[int, ...]) -> None:
    maps, truth = planted(counts)
    found = cluster_explanations(maps)
    assert adjusted_rand_score(truth, found) == 1
    assert np.bincount(found).tolist() == sorted(counts, reverse=True)


def test_one_kind_of_map_is_one_group() -> None:
    generator = torch.manual_seed(0)
    maps = torch.eye(7) + 0.3 * torch.rand(60, 7, 7, generator=generator)
    assert set(cluster_explanations(maps)) == {0}


def test_it_is_repeatable_and_neither_scale_nor_order_matters() -> None:
    maps, _ = planted((30, 30, 20))
    found = cluster_explanations(maps)
    np.testing.assert_array_equal(cluster_explanations(maps), found)
    np.testing.assert_array_equal(cluster_explanations(3 * maps), found)
    turned = torch.arange(len(maps) - 1, -1, -1)
    assert adjusted_rand_score(cluster_explanations(maps[turned]), found[::-1]) == 1


def test_there_are_no_more_groups_than_asked_for_where_they_hang_together() -> None:
    generator = torch.manual_seed(0)
    maps = torch.rand(80, 7, 7, generator=generator)
    assert cluster_explanations(maps, most=2).max() <= 1
    assert cluster_explanations(maps, most=1).max() == 0


def test_few_maps_are_one_group_and_empty_ones_are_in_none() -> None:
    maps, _ = planted((5, 4))
    maps = torch.cat([maps, -torch.ones(1, 7, 7)])
    assert cluster_explanations(maps).tolist() == [0] * 9 + [-1]
    assert cluster_explanations(torch.zeros(3, 4, 4)).tolist() == [-1] * 3


def test_large_maps_are_made_small() -> None:
    maps, truth = planted((30, 20))
    large = maps.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    assert adjusted_rand_score(truth, cluster_explanations(large)) == 1


def test_identical_maps_are_no_trouble() -> None:
    maps = torch.zeros(50, 4, 4)
    maps[:, 1, 1] = 1
    found = cluster_explanations(maps)
    assert found.shape == (50,)
    assert found.min() == 0


def test_the_layout_keeps_alike_maps_together() -> None:
    maps, truth = planted((40, 40))
    laid = embed_explanations(maps)
    np.testing.assert_array_equal(laid, embed_explanations(maps))
    centres = np.stack([laid[truth == place].mean(axis=0) for place in (0, 1)])
    distance = np.linalg.norm(laid[:, None] - centres, axis=2)
    assert (distance.argmin(axis=1) == truth).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_maps_can_be_laid_out(count: int) -> None:
    maps, _ = planted((count,))
    assert np.isfinite(embed_explanations(maps)).all()
    assert np.isnan(embed_explanations(torch.zeros(2, 3, 3))).all()


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="most, neighbours"):
        cluster_explanations(torch.ones(3, 2, 2), most=0)
    with pytest.raises(ValueError, match=r"\(N, h, w\)"):
        cluster_explanations(torch.ones(2, 2))
