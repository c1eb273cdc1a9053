"""Where in the image the evidence lies: nine regions, the border, and the place where it is densest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lookright.errors import ConfigError

EDGE = 0.25
"""Depth of the regions along the sides, as a share of the side."""

BORDER = 0.125
"""Depth of the border, as a share of the side: 44 % of the area."""

BORDER_FROM = 0.55
"""Share of the evidence from which it lies along the border: a quarter more than an even map has."""

PLACE = 1 / 3
"""Side of the square in which evidence is looked for, as a share of the image's: 11 % of the area."""

_STEPS = 12

REGIONS = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
"""Names of the regions, row by row."""


def region_shares(explanation: Tensor, *, edge: float = EDGE) -> Tensor:
    r"""Share of the positive evidence in each of nine regions.

    With P = max(M, 0) spread evenly over each cell of the map, and a(r, ij) the share of cell ij that lies in
    region r,

        share(r) = sum_ij a(r, ij) P(ij) / sum_ij P(ij)

    Args:
        explanation: (N, h, w)
        edge: depth of the regions along the sides, as a share of the side, in (0, 0.5)

    Returns:
        (N, 9) in the order of `REGIONS`, each row with sum 1; NaN where nothing is positive

    Raises:
        ConfigError: `edge` is out of its range.
        ValueError: wrong shape.

    Example:
        >>> region_shares(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))[0, :5]
        tensor([0.2500, 0.2500, 0.0000, 0.2500, 0.2500])
    """
    if not 0 < edge < 0.5:
        raise ConfigError(f"edge: got {edge}, need a share of the side above 0 and below 0.5")
    evidence = _evidence(explanation)
    bands = ((0.0, edge), (edge, 1 - edge), (1 - edge, 1.0))
    rows, columns = (torch.stack([_inside(n, *band) for band in bands]) for n in evidence.shape[1:])
    return (rows @ evidence @ columns.T).flatten(1)


def border_share(explanation: Tensor, *, border: float = BORDER) -> Tensor:
    """Share of the positive evidence along the border of the image.

    Args:
        explanation: (N, h, w)
        border: its depth, as a share of the side, in (0, 0.5)

    Returns:
        (N,) in [0, 1]; a constant map has 1 - (1 - 2 border)^2; NaN where nothing is positive

    Raises:
        ConfigError, ValueError: as `region_shares`.

    Example:
        >>> border_share(torch.ones(1, 4, 4))
        tensor([0.4375])
    """
    return 1 - region_shares(explanation, edge=border)[:, 4]


@dataclass(frozen=True)
class Place:
    """A square of the image, in shares of its sides."""

    top: float
    left: float
    side: float
    share: float
    """of the evidence that lies in it"""

    @property
    def name(self) -> str:
        """The region that holds its middle.

        Example:
            >>> Place(top=0.0, left=0.6, side=1 / 3, share=0.9).name
            'top right'
        """
        row, column = (_band(start + self.side / 2) for start in (self.top, self.left))
        return REGIONS[3 * row + column]


def densest_place(explanation: Tensor, *, side: float = PLACE) -> Place:
    """Find the square that holds most of the evidence of one map.

    Args:
        explanation: (h, w), positive somewhere
        side: of the square, as a share of the image's, in (0, 1]

    Raises:
        ConfigError: `side` is out of its range.
        ValueError: wrong shape, or nothing is positive.

    Example:
        >>> place = densest_place(torch.eye(3) * torch.tensor([0.0, 1.0, 3.0]))
        >>> place.name, round(place.share, 2)
        ('bottom right', 0.75)
    """
    if not 0 < side <= 1:
        raise ConfigError(f"side: got {side}, need a share of the image above 0, at most 1")
    evidence = _evidence(explanation[None])
    if not bool(torch.isfinite(evidence).all()):
        raise ValueError("explanation: nothing is positive")
    starts = torch.linspace(0, 1 - side, _STEPS + 1).tolist()
    rows, columns = (
        torch.stack([_inside(n, start, start + side) for start in starts]) for n in evidence.shape[1:]
    )
    held = (rows @ evidence @ columns.T)[0]
    best = int(held.argmax())
    top, left = starts[best // len(starts)], starts[best % len(starts)]
    return Place(top, left, side, float(held.max()))


def _evidence(explanation: Tensor) -> Tensor:
    """The positive part, with sum 1; NaN where there is none."""
    if explanation.ndim != 3:
        raise ValueError(f"explanation: (N, h, w), got {tuple(explanation.shape)}")
    positive = explanation.float().clamp(min=0)
    return positive / positive.sum(dim=(1, 2), keepdim=True)


def _inside(cells: int, start: float, end: float) -> Tensor:
    """Share of each of the cells of a side that lies in [start, end]."""
    edges = torch.linspace(0, 1, cells + 1).clamp(start, end)
    return edges.diff() * cells


def _band(at: float) -> int:
    return int(at > EDGE) + int(at > 1 - EDGE)
