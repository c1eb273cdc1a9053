"""The fast ways of pixels against the plain ones."""

import pytest
import torch
from torch.nn import functional as F

from lookright.metrics.pixels import SMALL_MAP, count_pixels, enlarge, mask_of


@pytest.mark.parametrize("cells", [(1, 1), (7, 7), (5, 9), (SMALL_MAP, 3), (SMALL_MAP + 1, 40)])
@pytest.mark.parametrize("size", [(1, 1), (32, 20), (224, 224)])
def test_enlarging_is_interpolating(cells: tuple[int, int], size: tuple[int, int]) -> None:
    maps = torch.rand(3, 2, *cells)
    expected = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(enlarge(maps, size), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float32])
def test_masks_and_counts(dtype: torch.dtype) -> None:
    marks = torch.randint(-1, 2, (3, 1, 300, 200)).to(dtype)
    assert torch.equal(mask_of(marks), marks > 0)
    assert torch.equal(count_pixels(mask_of(marks)), (marks > 0).sum(dim=(1, 2, 3)).float())
