"""Does a model use what its map shows, and what people marked? Images with a part replaced."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError

Scorer = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) -> the score of each one's explained class (B,), in the order of the rows."""

_FAINT = 1e-3


def pixel_rank(explanation: Tensor, size: tuple[int, int]) -> Tensor:
    """Number the pixels of an image from the most to the least important.

    The map is enlarged as for the other figures: bilinear, align_corners=False. Among equals the upper one
    comes first, then the left one.

    Args:
        explanation: (B, 1, h, w)
        size: (H, W) of the image

    Returns:
        (B, 1, H, W) int64: 0 for the most important pixel, H W - 1 for the least

    Raises:
        ValueError: wrong shape.

    Example:
        >>> pixel_rank(torch.tensor([[[[0.1, 0.9], [0.5, 0.5]]]]), (2, 2))
        tensor([[[[3, 0],
                  [1, 2]]]])
    """
    if explanation.ndim != 4 or explanation.shape[1] != 1:
        raise ValueError(f"explanation: (B, 1, h, w), got {tuple(explanation.shape)}")
    large = F.interpolate(explanation.float(), size=size, mode="bilinear", align_corners=False)
    order = large.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, place).view_as(large)


def shares(steps: int, *, device: torch.device | str = "cpu") -> Tensor:
    """The shares of the pixels at which a curve is taken, 0 and 1 among them.

    Args:
        steps: S, at least 1
        device: where

    Returns:
        (S + 1,) float32

    Raises:
        ConfigError: `steps` is below 1.

    Example:
        >>> shares(4)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if steps < 1:
        raise ConfigError(f"steps: got {steps}, need 1 or more")
    return torch.linspace(0, 1, steps + 1, device=device)


@torch.no_grad()
def score_curve(score: Scorer, start: Tensor, end: Tensor, rank: Tensor, share: Tensor) -> Tensor:
    r"""Follow the score while images turn into others, the most important pixels first.

    With T(s) the s H W most important pixels, rounded,

        curve(s) = score(end on T(s), start elsewhere)

    From the image to one colour it is deletion, from the blurred image to the image insertion (Petsiuk et
    al., RISE, BMVC 2018). One call of `score` per point, for all images of the batch.

    Args:
        score: of the explained class
        start: (B, 3, H, W)
        end: (B, 3, H, W)
        rank: (B, 1, H, W), of `pixel_rank`
        share: (S + 1,), from 0 to 1, of `shares`

    Returns:
        (B, S + 1)

    Raises:
        ValueError: wrong shape, or shares that do not begin with 0 and end with 1.

    Example:
        >>> image = torch.tensor([[[[4.0, 2.0]]]]).expand(1, 3, 1, 2)
        >>> rank = pixel_rank(torch.tensor([[[[1.0, 0.0]]]]), (1, 2))
        >>> score_curve(lambda x: x[:, 0].sum(dim=(1, 2)), image, image * 0, rank, shares(2))
        tensor([[6., 2., 0.]])
    """
    if start.shape != end.shape or start.ndim != 4:
        raise ValueError(f"start, end: (B, 3, H, W) both, got {tuple(start.shape)} and {tuple(end.shape)}")
    if rank.shape != (len(start), 1, *start.shape[2:]):
        raise ValueError(f"rank: ({len(start)}, 1, H, W) as the images, got {tuple(rank.shape)}")
    if len(share) < 2 or float(share[0]) != 0 or float(share[-1]) != 1:
        raise ValueError(f"share: from 0 to 1, got {share.tolist()}")
    pixels = rank.shape[2] * rank.shape[3]
    counts = (share * pixels).round().tolist()
    return torch.stack([score(torch.where(rank < count, end, start)) for count in counts], dim=1)


def area_under(curve: Tensor, share: Tensor) -> Tensor:
    """Area under a curve by the trapezoid rule.

    Args:
        curve: (B, S + 1)
        share: (S + 1,)

    Returns:
        (B,); in [0, 1] for probabilities

    Example:
        >>> area_under(torch.tensor([[1.0, 0.0, 0.0]]), shares(2))
        tensor([0.2500])
    """
    return torch.trapezoid(curve.float(), share.float(), dim=1)


def dilate(region: Tensor, margin: float) -> Tensor:
    """Widen a region by a margin, along rows and columns.

    Args:
        region: (B, 1, H, W) bool
        margin: share of the longer side, in [0, 1)

    Returns:
        (B, 1, H, W) bool

    Raises:
        ConfigError: the margin is out of its range.

    Example:
        >>> dilate(torch.tensor([[[[True, False, False, False]]]]), 0.25)
        tensor([[[[ True,  True, False, False]]]])
    """
    if not 0 <= margin < 1:
        raise ConfigError(f"margin: got {margin}, need a share of the image in [0, 1)")
    radius = round(margin * max(region.shape[-2:]))
    wide = F.max_pool2d(region.float(), (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return F.max_pool2d(wide, (2 * radius + 1, 1), stride=1, padding=(radius, 0)) > 0


def blurred(image: Tensor, region: Tensor, blur: float) -> Tensor:
    r"""Blur what a region holds, and let it flow over the rest of the image.

    With G a Gaussian, r the region (1 inside) and m the mean colour of the region,

        (G * (x r) + eps m) / (G * r + eps),    eps = 1e-3

    so that nothing of the other pixels is left: what is outside gets the colours of the region's nearest
    part, and its mean colour where it is far from any.

    Args:
        image: (B, 3, H, W)
        region: (B, 1, H, W) bool, not empty
        blur: standard deviation of the Gaussian, as a share of the longer side

    Returns:
        (B, 3, H, W)

    Raises:
        ConfigError: `blur` is not above 0.

    Example:
        >>> image = torch.tensor([[[[2.0, 2.0, 7.0]]]]).expand(1, 3, 1, 3)
        >>> blurred(image, torch.tensor([[[[True, True, False]]]]), 0.5)[0, 0]
        tensor([[2., 2., 2.]])
    """
    if blur <= 0:
        raise ConfigError(f"blur: got {blur}, need a share of the image above 0")
    inside = region.to(image.dtype)
    count = inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (image * inside).sum(dim=(2, 3), keepdim=True) / count
    sigma = blur * max(image.shape[-2:])
    down, along = (_gaussian(length, sigma, image) for length in image.shape[-2:])
    # The kernel is a matrix for each direction: exact at the borders, and two products.
    near = down @ torch.cat([image * inside, inside], dim=1) @ along
    return (near[:, :-1] + _FAINT * mean) / (near[:, -1:] + _FAINT)


def _gaussian(length: int, sigma: float, like: Tensor) -> Tensor:
    """(length, length), symmetric; its heaviest row sums to 1."""
    at = torch.arange(length, device=like.device, dtype=like.dtype)
    kernel = torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return kernel / kernel.sum(dim=1).max()


def prediction_change(before: Tensor, after: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Compare the predictions for images and for the same images with a part replaced.

    Args:
        before: probabilities, (B, K)
        after: probabilities, (B, K)
        label: (B,) int64

    Returns:
        (B,) float32 each

        - accuracy: 1 where the prediction afterwards is right
        - change: |p - p'| of the label's probability
        - flips: 1 where the predicted class is another one than before

    Raises:
        ValueError: wrong shape.

    Example:
        >>> prediction_change(torch.tensor([[0.75, 0.25]]), torch.tensor([[0.25, 0.75]]), torch.tensor([0]))
        {'accuracy': tensor([0.]), 'change': tensor([0.5000]), 'flips': tensor([1.])}
    """
    if before.shape != after.shape or before.ndim != 2 or label.shape != before.shape[:1]:
        raise ValueError(
            f"before, after, label: (B, K), (B, K) and (B,), got {tuple(before.shape)}, "
            f"{tuple(after.shape)} and {tuple(label.shape)}"
        )
    of_label = label[:, None]
    then, now = before.gather(1, of_label)[:, 0], after.gather(1, of_label)[:, 0]
    predicted = after.argmax(dim=1)
    return {
        "accuracy": (predicted == label).float(),
        "change": (then - now).abs().float(),
        "flips": (predicted != before.argmax(dim=1)).float(),
    }
