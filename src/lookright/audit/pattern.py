"""Is the same thing to be seen wherever the model looks, although at another place in each image?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

HALF = 12
"""Half the side of what is looked at around the peak of a map, in pixels of a picture of 48."""

SIDE = 8
"""Side of the pattern, likewise."""

FEWEST = 8
"""Images below which nothing is told."""

_SHIFTS = 2 * HALF - SIDE + 1
_STARTS = 24
_ROUNDS = 4
_MOST = 200
_AT_ONCE = 200  # images whose patches are held, 222 kB each
_ALIKE = math.sqrt(0.5)
_MIDDLE = (0.25, 0.75)


@dataclass(frozen=True)
class Pattern:
    """What images have in common where a model looks."""

    explained: float
    """share of the patches' variation that is one picture, in [0, 1]; NaN if it was not looked for"""
    holds: Tensor
    """(N,) bool, the images that show it: half of their own patch's variation or more"""
    off_centre: Tensor
    """(N,) bool, whether it lies away from the middle of the image"""
    picture: Tensor
    """(3, 8, 8) the mean patch, from 0 to 255"""


def find_pattern(images: Tensor, explanation: Tensor) -> Pattern:
    r"""Align what lies at the peaks of the maps, and measure how much of it is the same.

    Around the peak of each map a patch p_i of 8 x 8 pixels is chosen among all within 24 x 24, its mean
    colour taken off, so that it comes nearest to the mean patch m of all; m is made anew, and so on, to begin
    with that of each of 24 images (congealing, Learned-Miller, PAMI 2006, with shifts alone). Of the outcomes
    the one is taken with the largest

        explained = |m|^2 / (|m|^2 + mean_i |p_i - m|^2)

    A stamp has nearly 1 wherever it lies. Photos of one kind of object, at this size, have 0.1 to 0.35; a sky
    or a wall has little, for its mean patch is flat.

    Args:
        images: (N, 3, 48, 48), from 0 to 255
        explanation: (N, h, w), each positive somewhere

    Returns:
        the pattern; with fewer than 8 images none, whose `explained` is NaN

    Example:
        >>> images = torch.randint(0, 255, (20, 3, 48, 48), generator=torch.manual_seed(0))
        >>> maps = torch.zeros(20, 6, 6)
        >>> stamp = 255 * torch.eye(8).expand(3, 8, 8)
        >>> for i in range(20):
        ...     row, column = i % 5, i // 5
        ...     images[i, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = stamp
        ...     maps[i, row, column] = 1
        >>> pattern = find_pattern(images, maps)
        >>> round(pattern.explained, 2), int(pattern.holds.sum())
        (1.0, 20)
    """
    count, size = len(images), images.shape[2]
    if count < FEWEST:
        nothing = torch.zeros(count, dtype=torch.bool)
        return Pattern(math.nan, nothing, nothing, torch.zeros(3, SIDE, SIDE))
    peak = _peaks(explanation, size)
    used = torch.linspace(0, count - 1, min(count, _MOST)).round().long()
    mean = _congeal(_patches(images[used], peak[used])[0])
    parts = [
        _nearest(*_patches(images[start : start + _AT_ONCE], peak[start : start + _AT_ONCE]), mean)
        for start in range(0, count, _AT_ONCE)
    ]
    chosen, shift, colour = (torch.cat(part) for part in zip(*parts, strict=True))
    fit = F.cosine_similarity(chosen, mean[None], dim=1)
    at = peak + torch.stack([shift // _SHIFTS, shift % _SHIFTS], dim=1) - HALF + SIDE // 2
    middle = ((at >= _MIDDLE[0] * size) & (at <= _MIDDLE[1] * size)).all(dim=1)
    shown = mean.view(3, SIDE, SIDE) + colour.mean(dim=0).view(3, 1, 1)
    return Pattern(_explained(chosen, mean), fit >= _ALIKE, ~middle, shown)


def _peaks(explanation: Tensor, size: int) -> Tensor:
    """(N, 2) row and column of the highest pixel of each map, enlarged to the pictures."""
    large = F.interpolate(explanation[:, None].float(), size=(size, size), mode="bilinear")
    highest = large.flatten(1).argmax(dim=1)
    return torch.stack([highest // size, highest % size], dim=1)


def _patches(images: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """All patches around each peak without their mean colour, (N, shifts, 3 * 64), and that colour."""
    padded = F.pad(images.float(), (HALF,) * 4, mode="reflect")
    around = torch.stack(
        [
            image[:, row : row + 2 * HALF, column : column + 2 * HALF]
            for image, (row, column) in zip(padded, peak.tolist(), strict=True)
        ]
    )
    patches = F.unfold(around, SIDE).transpose(1, 2)
    patches = patches.reshape(len(images), -1, 3, SIDE * SIDE)
    colour = patches.mean(dim=3)
    return (patches - colour[..., None]).flatten(2), colour


def _nearest(patches: Tensor, colour: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image the patch nearest to the mean, which one it is, and its colour."""
    shift = _nearest_shift(patches, mean)
    every = torch.arange(len(patches))
    return patches[every, shift], shift, colour[every, shift]


def _nearest_shift(patches: Tensor, mean: Tensor) -> Tensor:
    return ((patches - mean) ** 2).sum(dim=2).argmin(dim=1)


def _congeal(patches: Tensor) -> Tensor:
    """The mean patch that explains most."""
    every = torch.arange(len(patches))
    best, best_explained = patches[0, 0], -1.0
    for start in torch.linspace(0, len(patches) - 1, min(len(patches), _STARTS)).round().long():
        mean = patches[start, patches.shape[1] // 2]
        for _ in range(_ROUNDS):
            chosen = patches[every, _nearest_shift(patches, mean)]
            mean = chosen.mean(dim=0)
        explained = _explained(chosen, mean)
        if explained > best_explained:
            best, best_explained = mean, explained
    return best


def _explained(chosen: Tensor, mean: Tensor) -> float:
    common = float((mean**2).sum())
    rest = float(((chosen - mean) ** 2).sum(dim=1).mean()) * len(chosen) / (len(chosen) - 1)
    return common / (common + rest) if common + rest > 0 else 0.0
