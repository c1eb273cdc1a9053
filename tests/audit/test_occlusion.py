import numpy as np
import pytest
import torch
from torch import Tensor

from lookright.audit.occlusion import occlusion_effect
from lookright.errors import ConfigError


def logits(image: Tensor) -> Tensor:
    """Three classes: brightness of the upper half, of the lower half, and nothing."""
    upper, lower = image[:, 0, :4].mean(dim=(1, 2)), image[:, 0, 4:].mean(dim=(1, 2))
    return torch.stack([5 * upper, 3 * lower, torch.zeros_like(upper)], dim=1)


def log_odds(z: np.ndarray, k: int) -> float:
    return float(z[k] - np.log(np.exp(np.delete(z, k)).sum()))


def test_covering_what_decides_costs_the_log_odds() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[..., :4, :] = 1.0
    explanation = image[:, :1].clone()
    here, elsewhere = occlusion_effect(logits, image, explanation, torch.tensor([0]), region=0.5)
    # The whole upper half is covered by what surrounds it, which is black; moved, the lower half by white.
    whole = log_odds(np.array([5.0, 0.0, 0.0]), 0)
    assert float(here) == pytest.approx(whole - log_odds(np.array([0.0, 0.0, 0.0]), 0), abs=1e-3)
    assert float(elsewhere) == pytest.approx(whole - log_odds(np.array([5.0, 3.0, 0.0]), 0), abs=1e-3)


def test_each_image_has_its_own_region_and_class() -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.manual_seed(0))
    maps = torch.rand(3, 1, 4, 4, generator=torch.manual_seed(1))
    chosen = torch.tensor([0, 1, 2])
    together = occlusion_effect(logits, images, maps, chosen)
    for row in range(3):
        alone = occlusion_effect(logits, images[row : row + 1], maps[row : row + 1], chosen[row : row + 1])
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[row], part[0])


def test_a_sure_prediction_still_moves() -> None:
    image = torch.full((1, 3, 8, 8), 0.0)
    image[..., :4, :] = 8.0  # a probability of 1 in float32
    here, _ = occlusion_effect(logits, image, image[:, :1], torch.tensor([0]), region=0.5)
    assert float(here) > 30


@pytest.mark.parametrize("region", [0.0, 0.6, -0.1])
def test_a_region_out_of_range_is_refused(region: float) -> None:
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ConfigError, match="region: got"):
        occlusion_effect(logits, image, image[:, :1], torch.tensor([0]), region=region)
