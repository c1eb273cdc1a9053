"""The IoU of many maps with the same annotations, from where each row of pixels crosses the threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from lookright.metrics.localization import THRESHOLD
from lookright.metrics.pixels import interpolation, mask_of
from lookright.normalize import EPSILON

_TOGETHER = 64
"""How many maps are compared at a time: what lies between stays in the processor's cache."""


class Crossings:
    """IoU of enlarged, cut maps with positive marks, as `localization` gives it, but not pixel by pixel.

    Between the centres of two cells a row of a bilinearly enlarged map is a straight line, so it crosses the
    threshold once at most: a division tells where, and a running count of the marked pixels of the row, made
    once per annotation, how many of them lie on either side. That is some w + 1 numbers a row in place of W
    pixels. A pixel that lies on the threshold up to rounding may fall on the other side of it.

    Args:
        annotation: (B, 1, H, W) in [-1, 1], of any dtype
        grid: h and w of the maps, H and W at most

    Example:
        >>> annotation = torch.tensor([[[[1.0, 1.0, -1.0, 0.0]]]])
        >>> Crossings(annotation, (1, 2)).iou(torch.tensor([[[[3.0, 1.0]]]]))
        tensor([[1.]])
    """

    def __init__(self, annotation: Tensor, grid: tuple[int, int]) -> None:
        positive = mask_of(annotation)[:, 0]
        count, self._height, self._width = positive.shape
        device = positive.device
        if self._height < grid[0] or self._width < grid[1]:
            raise ValueError(f"annotation: {self._height} x {self._width} pixels, fewer than {grid} cells")
        running = torch.zeros(count, self._height, self._width + 1, device=device)
        running[..., 1:] = positive.to(torch.float32).cumsum(dim=2)
        self._running = running.flatten(1)
        self._positive = running[..., -1].sum(dim=1)
        self._rows = torch.arange(self._height, device=device)[:, None] * (self._width + 1)
        # Segments: from the border to the first centre, between two centres, from the last one to the border.
        cells, pixels = grid[1], self._width
        per_cell = pixels / cells
        centre = (torch.arange(pixels, dtype=torch.float64) + 0.5) / per_cell - 0.5
        starts = torch.searchsorted(centre, torch.arange(cells, dtype=torch.float64))
        self._start = torch.cat([starts.new_zeros(1), starts]).to(device)
        end = torch.cat([starts, starts.new_full((1,), pixels)]).to(device)
        self._length = (end - self._start).to(torch.float32)
        self._per_cell = per_cell
        # Pixels that a segment begins with lie this far behind its first centre.
        left = torch.arange(-1, cells, dtype=torch.float64)
        behind = (self._start.cpu().to(torch.float64) + 0.5) / per_cell - 0.5 - left
        self._behind = (behind * per_cell).to(torch.float32).to(device)
        self._up, self._across = (
            interpolation(*side).to(device) for side in zip(grid, (self._height, pixels), strict=True)
        )
        self._up_corners, self._across_corners = _corners(self._up), _corners(self._across)
        self._marked = running.index_select(2, end) - running.index_select(2, self._start)
        self._before = running.index_select(2, self._start)

    def iou(self, maps: Tensor, threshold: float = THRESHOLD) -> Tensor:
        """Compare maps with the annotations.

        Args:
            maps: (R, B, h, w), raw: R of each image
            threshold: of `binarize`, in [0, 1)

        Returns:
            (R, B) in [0, 1]; NaN where nothing positive is marked
        """
        by_image = maps.transpose(0, 1).contiguous()
        images, per_image = by_image.shape[:2]
        together = max(1, _TOGETHER // max(1, per_image)) if maps.device.type == "cpu" else max(1, images)
        parts = [
            self._iou(by_image[i : i + together], slice(i, i + together), threshold)
            for i in range(0, images, together)
        ]
        return torch.cat(parts).T if parts else maps.new_zeros(maps.shape[:2])

    def _iou(self, maps: Tensor, images: slice, threshold: float) -> Tensor:
        shifted = maps - maps.amin(dim=(2, 3), keepdim=True)
        # Of a bilinear patch the largest pixel is an outermost one in both directions.
        largest = (self._up_corners @ shifted @ self._across_corners.T).amax(dim=(2, 3))
        cut = threshold * (largest + EPSILON)
        rows = self._up @ shifted  # (B, R, H, w)
        value = torch.cat([rows[..., :1], rows, rows[..., -1:]], dim=3) - cut[..., None, None]
        left, rise = value[..., :-1], value.diff(dim=3)
        # How many pixels of the segment lie before the crossing.
        before = (-left / rise).nan_to_num(torch.inf).mul_(self._per_cell).sub_(self._behind).ceil_()
        before = torch.minimum(before.clamp_(min=0), self._length)
        rises = rise >= 0
        covered = torch.where(rises, self._length - before, before).sum(dim=(2, 3))
        at = before.to(torch.int64).add_(self._start + self._rows)
        marked = self._running[images].gather(1, at.flatten(1)).view(at.shape)
        marked -= self._before[images][:, None]
        shared = torch.where(rises, self._marked[images][:, None] - marked, marked).sum(dim=(2, 3))
        positive = self._positive[images][:, None]
        return (shared / (covered + positive - shared)).masked_fill(positive == 0, torch.nan)


def _corners(along: Tensor) -> Tensor:
    """The rows of an interpolation at both ends of every straight piece."""
    first = (along > 0).float().argmax(dim=1)
    mixed = (along > 0).sum(dim=1)
    piece = 2 * first + mixed  # pixels of one piece have the same cells
    changes = (piece.diff() != 0).nonzero()[:, 0]
    ends = {0, len(piece) - 1, *changes.tolist(), *(changes + 1).tolist()}
    return along[sorted(ends)]
