import numpy as np
import pytest
import torch

from lookright.audit.regions import Place
from lookright.audit.sameness import pixel_variance, sameness

TOP_LEFT = Place(0.0, 0.0, 1 / 3, share=0.9)


def photos(count: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 48, 48, generator=torch.manual_seed(seed))


def told(images: torch.Tensor, members: torch.Tensor) -> float:
    return sameness(images[members], pixel_variance(images), TOP_LEFT)


def test_it_is_the_formula() -> None:
    images, members = photos(), torch.arange(40) < 15
    images[members, :, :8, :8] *= 0.3
    inside, everything = images[members].numpy(), images.numpy()
    v_inside, v_all = (part.var(axis=0, ddof=1).mean(axis=0) for part in (inside, everything))
    ratios = [
        v_inside[top : top + 6, left : left + 6].sum() / v_all[top : top + 6, left : left + 6].sum()
        for top in range(11)
        for left in range(11)
    ]
    assert told(images, members) == pytest.approx(1 - min(ratios), abs=1e-5)


def test_photos_are_not_the_same() -> None:
    assert abs(told(photos(200), torch.arange(200) < 60)) < 0.2


@pytest.mark.parametrize("other", ["nothing", "another stamp"])
def test_a_stamp_is_the_same_whatever_the_other_class_has_there(other: str) -> None:
    images, members = photos(), torch.arange(40) < 20
    images[members, :, :12, :12] = 1.0
    if other == "another stamp":
        images[~members, :, :12, :12] = 0.0
    assert told(images, members) == pytest.approx(1)


def test_what_all_images_have_tells_nothing() -> None:
    images = photos()
    images[:, :, :16, :16] = 0.0  # a black margin
    assert np.isnan(told(images, torch.arange(40) < 20))


def test_few_images_tell_nothing() -> None:
    assert np.isnan(told(photos(), torch.arange(40) < 7))
