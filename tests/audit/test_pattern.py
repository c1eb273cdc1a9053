import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lookright.audit import pattern as pattern_module
from lookright.audit.pattern import SIDE, find_pattern


def photos(count: int, seed: int = 0) -> Tensor:
    """Smooth noise, as blurred photos are."""
    generator = torch.manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0, 255)


def stamped(count: int, *, jitter: int = 0, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Photos with a cross at a random place, maps that look at it or up to `jitter` pixels beside, places."""
    images, generator = photos(count, seed), torch.manual_seed(seed + 1)
    maps = torch.zeros(count, 48, 48)
    stamp = torch.zeros(SIDE, SIDE)
    stamp[3:5] = stamp[:, 3:5] = 255
    places = torch.randint(4, 36, (count, 2), generator=generator)
    for image, explanation, (row, column) in zip(images, maps, places.tolist(), strict=True):
        image[:, row : row + SIDE, column : column + SIDE] = stamp
        beside = torch.randint(-jitter, jitter + 1, (2,), generator=generator) if jitter else torch.zeros(2)
        explanation[int(row + 4 + beside[0]), int(column + 4 + beside[1])] = 1
    return images, maps, places


@pytest.mark.parametrize("jitter", [0, 3])
def test_a_stamp_is_found_wherever_it_lies(jitter: int) -> None:
    images, maps, places = stamped(40, jitter=jitter)
    pattern = find_pattern(images, maps)
    assert pattern.explained > 0.95
    assert pattern.holds.all()
    middle = places + SIDE // 2
    inside = ((middle >= 12 + jitter) & (middle <= 36 - jitter)).all(dim=1)
    outside = ((middle < 12 - jitter) | (middle > 36 + jitter)).any(dim=1)
    assert not pattern.off_centre[inside].any()
    assert pattern.off_centre[outside].all()


def test_explained_is_the_share_of_the_mean_patch() -> None:
    images, maps, places = stamped(30)
    patches = np.stack(
        [
            image[:, r : r + SIDE, c : c + SIDE].numpy()
            for image, (r, c) in zip(images, places.tolist(), strict=True)
        ]
    )
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    patches[0] = 0.7 * patches[0]
    row, column = places[0].tolist()
    images[0, :, row : row + SIDE, column : column + SIDE] *= 0.7
    mean = patches.mean(axis=0)
    common = (mean**2).sum()
    rest = ((patches - mean) ** 2).sum() / (len(patches) - 1)
    assert find_pattern(images, maps).explained == pytest.approx(common / (common + rest), abs=1e-4)


def test_the_picture_is_the_stamp() -> None:
    images, maps, _ = stamped(40)
    picture = find_pattern(images, maps).picture
    assert picture[:, 3:5].mean() > 250
    assert picture[:, :3, :3].mean() < 5


def test_only_those_that_show_it_are_counted() -> None:
    images, maps, _ = stamped(40)
    images[30:] = photos(10, seed=9)
    pattern = find_pattern(images, maps)
    assert pattern.holds[:30].all()
    assert pattern.holds[30:].float().mean() < 0.3


def test_photos_have_little_in_common_and_walls_nothing() -> None:
    _, maps, _ = stamped(60)
    assert find_pattern(photos(60), maps).explained < 0.5
    walls = torch.rand(60, 3, 1, 1, generator=torch.manual_seed(0)).expand(60, 3, 48, 48) * 255
    assert find_pattern(walls, maps).explained < 0.5


def test_the_patches_of_few_images_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images, maps, _ = stamped(50, jitter=3)
    images[30:] = photos(20, seed=9)
    monkeypatch.setattr(pattern_module, "_MOST", 20)
    whole = find_pattern(images, maps)
    held, made = [], pattern_module._patches
    monkeypatch.setattr(pattern_module, "_AT_ONCE", 7)
    monkeypatch.setattr(
        pattern_module, "_patches", lambda some, peak: held.append(len(some)) or made(some, peak)
    )
    in_parts = find_pattern(images, maps)
    assert sum(held) == 20 + 50
    assert max(held[1:]) == 7
    assert in_parts.explained == pytest.approx(whole.explained, rel=1e-6)
    assert torch.equal(in_parts.holds, whole.holds)
    assert torch.equal(in_parts.off_centre, whole.off_centre)
    torch.testing.assert_close(in_parts.picture, whole.picture)


def test_few_images_tell_nothing() -> None:
    images, maps, _ = stamped(7)
    pattern = find_pattern(images, maps)
    assert math.isnan(pattern.explained)
    assert not pattern.holds.any()
