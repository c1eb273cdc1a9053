"""Is the same thing to be seen at the same place? Images of a cluster beside all images."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from lookright.audit.regions import Place

SIDE = 48
"""Images are compared at this size."""

WINDOW = 0.125
"""Side of the square that is compared, as a share of the image's."""

FEWEST = 8
"""Images of a cluster below which nothing is told."""

_TELLS = 0.25
"""Of the mean variance: windows with less are the same in all images."""


def pixel_variance(images: Tensor) -> Tensor:
    """Variance over images of each pixel, mean of its colours.

    Args:
        images: (N, 3, S, S)

    Returns:
        (S, S) float32, 0 for a single image

    Example:
        >>> import torch
        >>> pixel_variance(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
        tensor([[2.]])
    """
    return images.float().var(dim=0, correction=min(len(images) - 1, 1)).mean(dim=0)


def sameness(images: Tensor, of_all: Tensor, place: Place, *, window: float = WINDOW) -> float:
    r"""How much less the images of a cluster differ at a place than all images do there.

    With V the variance of a pixel (`pixel_variance`), and W the square windows inside the place,

        1 - min_W  sum_{p in W} V_cluster(p) / sum_{p in W} V_all(p)

    1 where a stamp hides what was there; about 0 where photos differ as they do anywhere. Windows in which
    all images are alike, as in a margin that each of them has, tell nothing and are left out.

    Args:
        images: (N, 3, S, S) of the cluster, small
        of_all: (S, S) `pixel_variance` of all images
        place: where to look
        window: side of the windows, as a share of the image's

    Returns:
        at most 1; NaN with fewer than 8 images, or no window that tells anything

    Example:
        >>> import torch
        >>> images = torch.rand(40, 3, 48, 48, generator=torch.manual_seed(0))
        >>> images[:20, :, :12, :12] = 1.0
        >>> sameness(images[:20], pixel_variance(images), Place(0.0, 0.0, 1 / 3, share=0.9))
        1.0
    """
    if len(images) < FEWEST:
        return math.nan
    size = len(of_all)
    width = max(round(window * size), 1)
    top, left = round(place.top * size), round(place.left * size)
    last = max(round(place.side * size) - width, 0) + 1
    inside, everywhere = (
        F.avg_pool2d(variance[None, None], width, stride=1)[0, 0, top : top + last, left : left + last]
        for variance in (pixel_variance(images), of_all)
    )
    tells = everywhere >= _TELLS * of_all.mean()
    return float(1 - (inside[tells] / everywhere[tells]).min()) if bool(tells.any()) else math.nan
