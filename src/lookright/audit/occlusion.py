"""Does a model need what its map shows? The region is covered, and the model asked again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.metrics.faithfulness import blurred, pixel_rank

REGION = 0.1
"""Share of the image that is covered."""

BLUR = 0.1
"""Standard deviation of the blur that covers it, as a share of the side."""


@torch.no_grad()
def occlusion_effect(
    network: nn.Module,
    image: Tensor,
    explanation: Tensor,
    chosen: Tensor,
    *,
    region: float = REGION,
    blur: float = BLUR,
) -> tuple[Tensor, Tensor]:
    r"""What predictions lose when the most important region of their maps is covered.

    The region R holds the share `region` of the pixels whose map of class k is largest. What surrounds it
    flows over it, blurred (`lookright.metrics.faithfulness.blurred`). The effect is the loss of log-odds,

        effect = s(x) - s(x without R),    s = z_k - log sum_{j != k} exp z_j

    once for R, and once for R moved by half the image along both sides: the same shape, elsewhere. Log-odds,
    since a probability of 1 hardly moves. Three passes of the network.

    Args:
        network: in evaluation mode, image (B, 3, H, W) -> logits (B, K), K at least 2
        image: (B, 3, H, W)
        explanation: (B, 1, h, w)
        chosen: (B,) int64, the classes k
        region: share of the image that is covered, in (0, 0.5]
        blur: standard deviation, as a share of the side

    Returns:
        (B,) float32 for the region, and for the place elsewhere

    Raises:
        ConfigError: `region` or `blur` is out of its range.

    Example:
        >>> def network(x):  # class 1 is what is bright at the left
        ...     left = x[:, 0, :, :2].mean(dim=(1, 2))
        ...     return torch.stack([-left, left], dim=1)
        >>> image = torch.zeros(1, 3, 4, 4)
        >>> image[..., :2] = 1
        >>> here, elsewhere = occlusion_effect(network, image, image[:, :1], torch.tensor([1]), region=0.5)
        >>> bool(here > 1.9), bool(elsewhere.abs() < 0.1)
        (True, True)
    """
    if not 0 < region <= 0.5:
        raise ConfigError(f"region: got {region}, need a share of the image above 0, at most 0.5")
    height, width = image.shape[2:]
    covered = pixel_rank(explanation, (height, width)) < max(round(region * height * width), 1)
    whole = _log_odds(network(image), chosen)

    def loss(where: Tensor) -> Tensor:
        without = torch.where(where, blurred(image, ~where, blur), image)
        return whole - _log_odds(network(without), chosen)

    return loss(covered), loss(covered.roll((height // 2, width // 2), dims=(2, 3)))


def _log_odds(logits: Tensor, chosen: Tensor) -> Tensor:
    logits = logits.float()
    others = logits.scatter(1, chosen[:, None], -torch.inf).logsumexp(dim=1)
    return logits.gather(1, chosen[:, None])[:, 0] - others
