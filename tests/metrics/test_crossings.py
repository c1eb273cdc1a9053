"""The IoU from crossings is the one from pixels."""

import pytest
import torch
from torch import Tensor

from lookright.metrics import localization
from lookright.metrics.crossings import Crossings


def annotations(*size: int, dtype: torch.dtype = torch.int8) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    marks = torch.zeros(5, 1, *size)
    for annotation in marks[:4]:
        top, left = (int(torch.randint(0, side // 2, (1,), generator=generator)) for side in size)
        annotation[0, top : top + size[0] // 2, left : left + size[1] // 2] = 1
        annotation[0, : top // 2] = -1
    return marks.to(dtype)


def by_pixels(maps: Tensor, annotation: Tensor) -> Tensor:
    every = torch.ones(len(annotation), dtype=torch.bool)
    return torch.stack([localization(m[:, None], annotation, every, figures=["iou"])["iou"] for m in maps])


@pytest.mark.parametrize(
    ("grid", "size"),
    [((7, 7), (224, 224)), ((7, 7), (100, 90)), ((4, 4), (32, 32)), ((1, 1), (16, 16)), ((1, 3), (20, 31)),
     ((5, 1), (31, 20)), ((8, 8), (8, 8)), ((6, 5), (7, 6))],
)  # fmt: skip
def test_iou_is_that_of_all_pixels(grid: tuple[int, int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    maps = torch.randn(6, 5, *grid)
    maps[1] = maps[1].round()  # cells of equal value
    maps[2] = 0.0
    maps[3] *= 1e-3
    annotation = annotations(*size)
    expected = by_pixels(maps, annotation)
    # One pixel on the threshold may fall on either side of it.
    one_pixel = 2 / max(1, int((annotation > 0).flatten(1).sum(dim=1)[:4].min()))
    torch.testing.assert_close(
        Crossings(annotation, grid).iou(maps), expected, rtol=0, atol=one_pixel, equal_nan=True
    )
    assert expected[:, 4].isnan().all()
    assert not expected[:, :4].isnan().any()


def test_graded_marks_count_where_they_are_positive() -> None:
    maps = torch.rand(3, 5, 4, 4)
    whole = annotations(32, 32)
    graded = whole.float() * 0.3
    torch.testing.assert_close(
        Crossings(graded, (4, 4)).iou(maps), Crossings(whole, (4, 4)).iou(maps), equal_nan=True
    )


def test_fewer_pixels_than_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than"):
        Crossings(torch.zeros(1, 1, 4, 4), (8, 8))
