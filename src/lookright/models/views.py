"""Which of the tensors in a network are maps, and in which layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from lookright.models.maps import Layout

if TYPE_CHECKING:
    from lookright.models.trace import Execution

Shape = tuple[int, ...]
_MAX_PREFIX = 16  # DINOv2 and ViT-reg have 5; more would make a grid of any number of tokens
_ON_CHANNELS_FIRST = (
    *(_ConvNd, _BatchNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.PixelShuffle, nn.Upsample),
    *(nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)


@dataclass(frozen=True)
class View:
    """How to see a tensor as a map (B, C, h, w) of more than one cell."""

    layout: Layout
    grid: tuple[int, int]
    channels: int
    prefix: int = 0


def find_views(
    executions: Sequence[Execution],
    image_size: int,
    double: Callable[[], Sequence[Execution]],
) -> list[View | None]:
    """Say which outputs are maps, and in which layout. The first rule that applies decides.

    Four axes (1, a, b, c):

    1. Convolution, BatchNorm, pooling and their like give (B, C, h, w).
    2. A module that returns a tensor that an inner one made gives what that gives.
    3. Within a module that takes tokens it is no map: queries, or attention (B, heads, N, N).
    4. A square image gives a square map: b = c != a is (B, C, h, w), a = b != c is (B, h, w, C).
    5. a = b = c: the two axes that grow with the image, if the network takes one of twice the size.
    6. Linear and LayerNorm give (B, h, w, C) (a LayerNorm2d of timm or torchvision does not).
    7. As the tensor of the same shape before it; else (B, C, h, w).

    Three axes (1, N, C) are tokens: the largest grid that has been a map so far and has no more than N cells,
    after at most 16 other tokens. Where none fits (LeViT lowers the number of tokens without a map), a square
    of N cells; and where patches were cut without a convolution, the finest square that divides the image.

    Args:
        executions: what ran, in order; their own `view` is not looked at
        image_size: H and W
        double: runs the network on an image of twice the size; gives nothing if it fails

    Returns:
        one per execution, None where the output is no map of more than one cell
    """
    takes_tokens = {e.name for e in executions if e.name and e.input is not None and len(e.input) == 3}
    of_tensor: dict[int, View | None] = {}
    of_shape: dict[Shape, Layout] = {}
    grids: list[tuple[int, int]] = []
    larger: list[Shape | None] | None = None
    views: list[View | None] = []
    for position, execution in enumerate(executions):
        shape, view = execution.output, None
        if shape is None or execution.tensor is None or shape[0] != 1:
            views.append(None)
            continue
        first = isinstance(execution.module, _ON_CHANNELS_FIRST)
        if execution.tensor in of_tensor and not first:
            view = of_tensor[execution.tensor]
        elif len(shape) == 4 and (first or not _is_within(execution.name, takes_tokens)):
            layout = Layout.CHANNELS_FIRST if first else _by_shape(shape)
            if layout is None and shape[1] == shape[2] == shape[3]:
                if larger is None:
                    larger = _outputs(double(), executions)
                layout = _by_growth(shape, larger[position]) if larger else None
            if layout is None:
                last = _works_on_the_last_axis(execution.module)
                layout = Layout.CHANNELS_LAST if last else of_shape.get(shape, Layout.CHANNELS_FIRST)
            of_shape[shape] = layout
            view = _view_of_map(shape, layout)
        elif len(shape) == 3:
            view = view_of_tokens(shape, grids, image_size)
        if view is not None and view.layout is not Layout.TOKENS:
            grids.append(view.grid)
        of_tensor[execution.tensor] = view
        views.append(view)
    return views


def view_of_tokens(shape: Shape, grids: Sequence[tuple[int, int]], image_size: int) -> View | None:
    """See (1, N, C) as a map, given the grids of the maps before it; see `find_views`."""
    _, tokens, channels = shape
    fitting = [grid for grid in grids if tokens - _MAX_PREFIX <= grid[0] * grid[1] <= tokens]
    side = math.isqrt(tokens)
    if not fitting and side > 1 and side * side == tokens:
        fitting = [(side, side)]
    if not fitting and not grids:
        fitting = [(side, side) for side in range(side, 1, -1) if image_size % side == 0][:1]
    grid = max(fitting, key=math.prod, default=None)
    if grid is None or tokens - math.prod(grid) > _MAX_PREFIX:
        return None
    return View(Layout.TOKENS, grid, channels, tokens - math.prod(grid))


def _view_of_map(shape: Shape, layout: Layout) -> View | None:
    if layout is Layout.CHANNELS_FIRST:
        _, channels, height, width = shape
    else:
        _, height, width, channels = shape
    return View(layout, (height, width), channels) if min(height, width) > 1 else None


def _works_on_the_last_axis(module: nn.Module) -> bool:
    norm = isinstance(module, nn.LayerNorm) and not type(module).__name__.endswith("2d")
    return norm or isinstance(module, nn.Linear)


def _by_shape(shape: Shape) -> Layout | None:
    if shape[1] != shape[2] == shape[3]:
        return Layout.CHANNELS_FIRST
    if shape[1] == shape[2] != shape[3]:
        return Layout.CHANNELS_LAST
    return None


def _by_growth(shape: Shape, larger: Shape | None) -> Layout | None:
    """Tell by the axes that grow with the image."""
    if larger is None or len(larger) != 4:
        return None
    grown = [after > before for before, after in zip(shape[1:], larger[1:], strict=True)]
    if grown == [False, True, True]:
        return Layout.CHANNELS_FIRST
    return Layout.CHANNELS_LAST if grown == [True, True, False] else None


def _outputs(larger: Sequence[Execution], executions: Sequence[Execution]) -> list[Shape | None]:
    """Give the outputs in a larger image if the very same modules ran."""
    if [e.name for e in larger] != [e.name for e in executions]:
        return []
    return [e.output for e in larger]


def _is_within(name: str, modules: set[str]) -> bool:
    parents = name.split(".")[:-1]
    return any(".".join(parents[:end]) in modules for end in range(1, len(parents) + 1))
