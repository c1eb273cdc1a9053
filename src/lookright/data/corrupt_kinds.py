"""The ways in which an annotation can be rough, each a small class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lookright.data.annotations import Area
from lookright.data.regions import Region, connected_parts, distance_to, move_boundary, outline, simplify
from lookright.data.shapes import Polygon as PolygonShape
from lookright.data.shapes import Scribble as ScribbleShape
from lookright.errors import ConfigError

WAVES = 3
"""A random boundary waves at the scale of this part of the region's size."""


class Kind(ABC):
    """One way in which an annotation is rough."""

    @abstractmethod
    def __call__(self, signed: Area, generator: np.random.Generator) -> Area:
        """Make an annotation rough.

        Args:
            signed: (H, W) in [-1, 1]
            generator: of whatever is random

        Returns:
            (H, W) in [-1, 1]
        """


class RegionKind(Kind):
    """Changes where the positive marks are.

    Marks that stay keep their value; where the region grows, they have the mean of the positive ones.
    Negative marks stay but where the region grows over them. Without positive marks nothing changes.
    """

    @abstractmethod
    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Give the new region.

        Args:
            inside: (H, W), not empty
            generator: of whatever is random
        """

    def __call__(self, signed: Area, generator: np.random.Generator) -> Area:
        """Change the region."""
        inside = signed > 0
        if not inside.any():
            return signed
        value = np.where(inside, signed, signed[inside].mean())
        return np.where(self.region(inside, generator), value, signed.clip(max=0)).astype(np.float32)


@dataclass(frozen=True)
class Dilate(RegionKind):
    """Inaccurate boundary: the region is larger on all sides.

    Example:
        >>> Dilate(1.0)(np.array([[0, 0, 1, 0, 0]], dtype=np.float32), np.random.default_rng(0)).tolist()
        [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """

    amount: float = 0.1
    """as a share of the region's size, the square root of its area; one pixel at least"""

    def __post_init__(self) -> None:
        _check_share("dilate", "amount", self.amount)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Move the boundary outwards."""
        return move_boundary(inside, _pixels(self.amount, inside))


@dataclass(frozen=True)
class Erode(RegionKind):
    """Inaccurate boundary: the region is smaller on all sides, but not where the image cuts it off.

    Its innermost part stays: what is deeper inside than three quarters of its deepest pixel.

    Example:
        >>> Erode(0.3)(np.array([[0, 1, 1, 1, 0]], dtype=np.float32), np.random.default_rng(0)).tolist()
        [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """

    amount: float = 0.1
    """as for `Dilate`"""

    def __post_init__(self) -> None:
        _check_share("erode", "amount", self.amount)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Move the boundary inwards."""
        return move_boundary(inside, -_pixels(self.amount, inside))


@dataclass(frozen=True)
class Jitter(RegionKind):
    """Inaccurate boundary: it is moved in and out by a smooth random amount, 0 on average.

    Example:
        >>> square = np.pad(np.ones((20, 20), dtype=np.float32), 10)
        >>> rough = Jitter(0.1)(square, np.random.default_rng(0))
        >>> bool((rough > square).any() and (rough < square).any())
        True
    """

    amount: float = 0.1
    """root mean square of the displacement along the boundary, as a share of the region's size"""

    def __post_init__(self) -> None:
        _check_share("jitter", "amount", self.amount)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Move the boundary by smooth noise."""
        if inside.all():
            return inside
        spacing = max(1.0, _size(inside) / WAVES)
        height, width = inside.shape
        grid = generator.standard_normal((int(height / spacing) + 2, int(width / spacing) + 2))
        coarse = Image.fromarray(grid.astype(np.float32))
        noise = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
        on_boundary = noise[inside & (distance_to(~inside) <= 1)]
        noise = (noise - on_boundary.mean()) / max(float(on_boundary.std()), 1e-6)
        return move_boundary(inside, _pixels(self.amount, inside) * noise)


@dataclass(frozen=True)
class Polygon(RegionKind):
    """Inaccurate boundary: a polygon of few vertices around each connected part, holes filled.

    Of all corners of the outline those stay that matter most (`regions.simplify`): a round part shrinks.

    Example:
        >>> line = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float32)
        >>> Polygon(4)(line, np.random.default_rng(0)).sum().item()
        9.0
    """

    vertices: int = 6

    def __post_init__(self) -> None:
        _check_count("polygon", "vertices", self.vertices, 3)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Draw a polygon around each part."""
        drawn = np.zeros_like(inside)
        for part in connected_parts(inside):
            canvas = np.zeros_like(inside)
            corners = simplify(outline(part), self.vertices)
            PolygonShape(tuple((float(x), float(y)) for x, y in corners)).fill(canvas)
            drawn |= canvas if canvas.any() else part
        return drawn


@dataclass(frozen=True)
class Box(RegionKind):
    """Inaccurate boundary: the bounding box of each connected part.

    Example:
        >>> Box()(np.array([[1, 0], [1, 1]], dtype=np.float32), np.random.default_rng(0)).sum().item()
        4.0
    """

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Fill the box of each part."""
        boxes = np.zeros_like(inside)
        for part in connected_parts(inside):
            rows, columns = part.nonzero()
            boxes[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        return boxes


@dataclass(frozen=True)
class Drop(RegionKind):
    """Incomplete region: a straight cut of random direction takes a share of the area off.

    For one seed and image the cuts are nested: what 0.3 takes is among what 0.5 takes.

    Example:
        >>> Drop(0.5)(np.ones((4, 4), dtype=np.float32), np.random.default_rng(0)).sum().item()
        8.0
    """

    share: float = 0.5
    """of the positive area; at least one pixel stays"""

    def __post_init__(self) -> None:
        _check_share("drop", "share", self.share)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Cut off what lies farthest along the direction."""
        angle = generator.uniform(0, 2 * np.pi)
        y, x = inside.nonzero()
        order = np.argsort(np.cos(angle) * x + np.sin(angle) * y, kind="stable")
        kept = order[: max(1, len(order) - round(self.share * len(order)))]
        left = np.zeros_like(inside)
        left[y[kept], x[kept]] = True
        return left


@dataclass(frozen=True)
class Part(RegionKind):
    """Incomplete region: one of several connected parts, the larger the likelier; of a single one, half.

    Example:
        >>> Part()(np.array([[1, 0, 1]], dtype=np.float32), np.random.default_rng(0)).sum().item()
        1.0
    """

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Choose a part."""
        parts = connected_parts(inside)
        return _pick(parts, generator) if len(parts) > 1 else Drop(0.5).region(inside, generator)


@dataclass(frozen=True)
class Scribble(RegionKind):
    """Incomplete region: a few strokes, each through three random points of one connected part.

    What of a stroke lies outside the region is left out.

    Example:
        >>> Scribble(1, width=0.1)(np.ones((9, 9), dtype=np.float32), np.random.default_rng(0)).sum() < 40
        np.True_
    """

    strokes: int = 3
    width: float = 0.05
    """of the brush, as a share of the longer side; thinner strokes often vanish on a grid of 7 x 7"""

    def __post_init__(self) -> None:
        _check_count("scribble", "strokes", self.strokes, 1)
        _check_share("scribble", "width", self.width)

    def region(self, inside: Region, generator: np.random.Generator) -> Region:
        """Draw the strokes."""
        parts = connected_parts(inside)
        drawn = np.zeros_like(inside)
        for _ in range(self.strokes):
            part = _pick(parts, generator)
            y, x = part.nonzero()
            points = generator.integers(len(y), size=3)
            canvas = np.zeros_like(inside)
            middles = tuple((float(x[i]) + 0.5, float(y[i]) + 0.5) for i in points)
            ScribbleShape(middles, self.width * max(inside.shape)).fill(canvas)
            drawn |= canvas & part
        return drawn


@dataclass(frozen=True)
class Graded(Kind):
    """Inconsistent distribution: positive marks grow from the boundary, to 1 at the innermost pixel.

    The value is the distance to what is not positive, divided by the largest one. Negative marks stay.

    Example:
        >>> Graded()(np.array([[0, 1, 1, 1, 0]], dtype=np.float32), np.random.default_rng(0)).tolist()
        [[0.0, 0.5, 1.0, 0.5, 0.0]]
    """

    def __call__(self, signed: Area, generator: np.random.Generator) -> Area:
        """Grade the marks."""
        inside = signed > 0
        depth = np.ones(inside.shape) if inside.all() else distance_to(~inside)
        value = depth / max(float(depth.max()), 1.0)
        return np.where(inside, value, signed).astype(np.float32)


@dataclass(frozen=True)
class Binary(Kind):
    """Inconsistent distribution: marks of a graded map become whole or none, positive and negative alike.

    Example:
        >>> Binary(0.5)(np.array([[0.2, 0.7, -0.9]], dtype=np.float32), np.random.default_rng(0)).tolist()
        [[0.0, 1.0, -1.0]]
    """

    threshold: float = 0.5
    """strength from which on a mark counts"""

    def __post_init__(self) -> None:
        _check_share("binary", "threshold", self.threshold)

    def __call__(self, signed: Area, generator: np.random.Generator) -> Area:
        """Keep the marks that are strong enough."""
        return np.where(np.abs(signed) >= self.threshold, np.sign(signed), 0).astype(np.float32)


def _size(region: Region) -> float:
    return float(np.sqrt(region.sum()))


def _pixels(amount: float, region: Region) -> float:
    return max(1.0, amount * _size(region))


def _pick(parts: Sequence[Region], generator: np.random.Generator) -> Region:
    """One of the parts, the larger the likelier."""
    area = np.array([part.sum() for part in parts], dtype=np.float64)
    return parts[int(generator.choice(len(parts), p=area / area.sum()))]


def _check_share(kind: str, option: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(f"corrupt: {kind}({option}={value!r}): need a number above 0, at most 1")


def _check_count(kind: str, option: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ConfigError(f"corrupt: {kind}({option}={value!r}): need a whole number, {least} or more")
