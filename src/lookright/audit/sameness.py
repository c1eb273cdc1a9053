"""Is the same thing to be seen at the same place? Images of a cluster beside all others."""

from __future__ import annotations

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


def sameness(images: Tensor, members: Tensor, place: Place, *, window: float = WINDOW) -> float:
    r"""How much less the images of a cluster differ at a place than all images do there.

    With V the variance over images of a pixel, mean of its three colours, and W the square windows inside the
    place,

        1 - min_W  sum_{p in W} V_cluster(p) / sum_{p in W} V_all(p)

    1 where a stamp hides what was there; about 0 where photos differ as they do anywhere. Windows in which
    all images are alike, as in a margin that each of them has, tell nothing and are left out.

    Args:
        images: (N, 3, S, S), small
        members: (N,) bool, the images of the cluster
        place: where to look
        window: side of the windows, as a share of the image's

    Returns:
        at most 1; NaN with fewer than 8 images in the cluster, or no window that tells anything

    Example:
        >>> images = torch.rand(40, 3, 48, 48, generator=torch.manual_seed(0))
        >>> images[:20, :, :12, :12] = 1.0
        >>> is_stamped = torch.arange(40) < 20
        >>> sameness(images, is_stamped, Place(0.0, 0.0, 1 / 3, share=0.9))
        1.0
    """
    inside = images[members]
    if len(inside) < FEWEST:
        return float("nan")
    size = images.shape[2]
    width = max(round(window * size), 1)
    of_cluster, of_all = _window_variance(inside, width), _window_variance(images, width)
    top, left = round(place.top * size), round(place.left * size)
    last = max(round(place.side * size) - width, 0) + 1
    here = slice(top, top + last), slice(left, left + last)
    tells = of_all[here] >= _TELLS * of_all.mean()
    if not bool(tells.any()):
        return float("nan")
    return float(1 - (of_cluster[here][tells] / of_all[here][tells]).min())


def _window_variance(images: Tensor, width: int) -> Tensor:
    variance = images.var(dim=0).mean(dim=0)
    return F.avg_pool2d(variance[None, None], width, stride=1)[0, 0]
