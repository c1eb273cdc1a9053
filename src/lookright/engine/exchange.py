"""Backgrounds change places: what lies outside the annotation stops telling the class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lookright.data.derive import outside
from lookright.engine.boundary import Boundary
from lookright.errors import ConfigError
from lookright.models.maps import from_map, to_map
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch


class BackgroundExchange:
    r"""Give features outside the annotation those from outside another one: lookright's own method.

        x'_ij = x_ij inside,   x'_ij = x^p_ij outside,   p: another image of the batch, drawn at random

    x is the map below the part that learns (below the last stage where all of the network does), so cached
    features can be exchanged and a step costs no further pass. The label stays: what is outside goes with
    any class, and a decision that rests on it becomes wrong in training. Where image p has something inside
    at (i, j), one of its cells outside is drawn. Losses see the changed images as they see any other.
    Outside are the negative marks; in an image without any, the cells that are not marked positive.

    Swapped backgrounds reveal shortcuts in Xiao et al., "Noise or Signal", ICLR 2021; images that are cut
    together are CutMix (Yun et al., ICCV 2019), and mixed features manifold mixup (Verma et al., ICML 2019).
    Nothing flows back into image p: it stands for a background, it is not explained.

    Args:
        share: of the annotated images of a batch that are changed, where another one lends, in (0, 1]

    Raises:
        ConfigError: a share out of its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> marks = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
        >>> maps = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])
        >>> changed = BackgroundExchange()(maps, marks, torch.tensor([True, True]))
        >>> changed[:, 0, 0].tolist()
        [[1.0, 4.0], [3.0, 2.0]]
    """

    paper: ClassVar[str] = "lookright"
    uses: ClassVar[str] = "negative, else positive"

    def __init__(self, share: float = 1.0) -> None:
        if not 0 < share <= 1:
            raise ConfigError(f"share: got {share}, need a share in (0, 1]")
        self.share = share

    def __call__(self, maps: Tensor, annotation: Tensor, annotated: Tensor) -> Tensor:
        """Exchange cells. Draws from torch's generator of the device; never waits for it.

        Args:
            maps: (B, C, h, w)
            annotation: (B, 1, h, w) in [-1, 1], on the grid of the maps
            annotated: (B,) bool; other images stay as they are, and lend nothing

        Returns:
            (B, C, h, w)
        """
        count, cells = len(maps), maps.shape[2] * maps.shape[3]
        is_outside = (outside(annotation) & annotated[:, None, None, None]).flatten(1)
        lends = is_outside.any(dim=1)
        others = lends & ~torch.eye(count, dtype=torch.bool, device=maps.device)
        partner = _draw(others.float(), 1)[:, 0]
        theirs = is_outside[partner]
        drawn = _draw(theirs.float(), cells)
        source = torch.where(theirs, torch.arange(cells, device=maps.device), drawn)
        flat = maps.detach().flatten(2)
        lent = flat[partner].gather(2, source[:, None].expand(-1, flat.shape[1], -1)).view_as(maps)
        changes = lends & others.any(dim=1) & (torch.rand(count, device=maps.device) < self.share)
        replaced = (is_outside & changes[:, None]).view(count, 1, *maps.shape[2:])
        return torch.where(replaced, lent, maps)


def _draw(weights: Tensor, count: int) -> Tensor:
    """Draw `count` numbers of columns for each row, by their weights; some number where all are zero.

    `torch.multinomial` would check the weights, for which the CPU has to wait for a GPU.
    """
    bounds = weights.cumsum(dim=1)
    points = torch.rand(len(weights), count, device=weights.device) * bounds[:, -1:]
    return torch.searchsorted(bounds, points, right=True).clamp(max=weights.shape[1] - 1)


@contextmanager
def exchanging(
    exchange: BackgroundExchange, network: nn.Module, boundary: Boundary, batch: Batch
) -> Iterator[None]:
    """Within this context, a forward pass of the network runs on exchanged backgrounds."""

    def change(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        view = boundary.view
        maps = to_map(output, view.layout, view.grid, view.prefix)
        grid = (maps.shape[2], maps.shape[3])
        marks = (
            resize_annotation(batch.annotation.float(), grid)
            if batch.resized is None
            else batch.resized(grid, ResizeRule.AREA)
        )
        return from_map(exchange(maps, marks, batch.annotated), output, view.layout, view.prefix)

    handle = network.get_submodule(boundary.layer).register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()
