"""Incomplete region: completing an annotation before it is compared with the explanation.

An imputer g maps the positive annotation F+ to a graded map on the grid of the explanation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.normalize import EPSILON, min_max


class Imputer(nn.Module, ABC):
    """Base of the imputers."""

    at_image_size: bool = True
    """whether it looks at the annotation at the size of the image; if not, it gets that on the grid twice"""
    sees_image: bool = True
    """whether it looks at the image; if not, it gets None"""

    @abstractmethod
    def forward(self, positive: Tensor, full_positive: Tensor, image: Tensor | None) -> Tensor:
        """Complete the positive annotation.

        Args:
            positive: (B, 1, h, w) in [0, 1], on the grid of the explanation
            full_positive: (B, 1, H, W) in [0, 1], at the size of the image
            image: (B, 3, H, W) as normalised for the network; needed by imputers that look at it

        Returns:
            (B, 1, h, w) in [0, 1]
        """


class AsDrawn(Imputer):
    """No imputation: the annotation is taken as it was drawn.

    Example:
        >>> drawn = torch.tensor([[[[1.0, 0.0]]]])
        >>> AsDrawn()(drawn, drawn, None)
        tensor([[[[1., 0.]]]])
    """

    at_image_size = sees_image = False

    def forward(self, positive: Tensor, full_positive: Tensor, image: Tensor | None) -> Tensor:
        """Give `positive` back."""
        return positive


class GaussianImputer(Imputer):
    r"""The fixed imputer of RES-G (Gao et al., KDD 2022): a 3 x 3 Gaussian blur on the grid.

        g = k * F+ / (max(k * F+) + 1e-6),   k = [1/4, 1/2, 1/4] in both directions

    The border is mirrored without repeating the edge.

    Example:
        >>> dot = torch.zeros(1, 1, 5, 5)
        >>> dot[..., 2, 2] = 1.0
        >>> GaussianImputer()(dot, dot, None)[0, 0, 2].round(decimals=4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """

    at_image_size = sees_image = False
    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(line, line)[None, None], persistent=False)

    def forward(self, positive: Tensor, full_positive: Tensor, image: Tensor | None) -> Tensor:
        """Blur on the grid, then divide by the maximum."""
        # A grid one cell wide has nothing to mirror.
        mode = "reflect" if min(positive.shape[-2:]) > 1 else "replicate"
        padded = F.pad(positive, (1, 1, 1, 1), mode=mode)
        blurred = F.conv2d(padded, self.kernel.to(positive.dtype))
        return blurred / (blurred.amax(dim=(1, 2, 3), keepdim=True) + EPSILON)


class LearnedImputer(Imputer):
    """The learned imputers of RES-L (Gao et al., KDD 2022): convolutions from the image to the grid.

    The output is min-max normalised per image and, where the strides do not lead exactly to the grid,
    resized to it. `sees_image` (S2, D2) gives the network input beside F+.

    Two things are known to go wrong with them: nothing keeps g from chasing the explanation (see the
    options of `RES`), and a deep one can be dead from its first step (constant output, no gradient). So the
    weights start as an average of F+ with the image's channels near zero: alive, and close to F+.
    `published_init=True` takes PyTorch's default initialisation, as the published code does.

    Raises:
        ConfigError: a stride that is not a power of two; no image where the imputer looks at it.

    Example:
        >>> blur = nn.Conv2d(1, 1, kernel_size=3, padding=1)  # shallow_imputer has those of the paper
        >>> g = LearnedImputer([blur], sees_image=False, published_init=False)
        >>> drawn = torch.eye(5)[None, None]
        >>> g(drawn, drawn, None).shape
        torch.Size([1, 1, 5, 5])
    """

    def __init__(self, layers: list[nn.Conv2d], *, sees_image: bool, published_init: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.sees_image = sees_image
        if not published_init:
            for layer in layers:
                _start_as_average(layer)

    def forward(self, positive: Tensor, full_positive: Tensor, image: Tensor | None) -> Tensor:
        """Run the convolutions on the full-size annotation."""
        x = full_positive
        if self.sees_image:
            if image is None:
                raise ConfigError("image: this imputer looks at the image (S2, D2); pass it, or use S1 or D1")
            x = torch.cat([full_positive, image], dim=1)
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else x.relu())
        if x.shape[-2:] != positive.shape[-2:]:
            x = F.interpolate(x, size=positive.shape[-2:], mode="bilinear", align_corners=False)
        return min_max(x)


def shallow_imputer(stride: int, *, sees_image: bool = False, published_init: bool = False) -> LearnedImputer:
    """S1 and S2: one convolution, kernel 2s, stride s, padding s/2 (64, 32 and 16 at stride 32).

    Args:
        stride: pixels per cell of the explanation
        sees_image: False is S1, True is S2
        published_init: initialise as the published code does

    Example:
        >>> g = shallow_imputer(8)
        >>> g(torch.zeros(2, 1, 4, 4), torch.rand(2, 1, 32, 32), None).shape
        torch.Size([2, 1, 4, 4])
    """
    _check_stride(stride)
    channels = 4 if sees_image else 1
    convolution = nn.Conv2d(channels, 1, 2 * stride, stride=stride, padding=stride // 2)
    return LearnedImputer([convolution], sees_image=sees_image, published_init=published_init)


def deep_imputer(stride: int, *, sees_image: bool = False, published_init: bool = False) -> LearnedImputer:
    """D1 and D2: log2(s) convolutions of stride 2, kernels 7, 3, 3, ..., with ReLU between.

    Args:
        stride: pixels per cell of the explanation
        sees_image: False is D1 (1 channel), True is D2 (4 channels, ending in one)
        published_init: initialise as the published code does

    Example:
        >>> g = deep_imputer(8, sees_image=True)
        >>> g(torch.zeros(2, 1, 4, 4), torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 1, 4, 4])
    """
    _check_stride(stride)
    channels = 4 if sees_image else 1
    depth = stride.bit_length() - 1
    layers = [
        nn.Conv2d(
            channels,
            1 if i == depth - 1 else channels,
            kernel_size=7 if i == 0 else 3,
            stride=2,
            padding=3 if i == 0 else 1,
        )
        for i in range(depth)
    ]
    return LearnedImputer(layers, sees_image=sees_image, published_init=published_init)


def _check_stride(stride: int) -> None:
    if stride < 2 or stride & (stride - 1):
        raise ConfigError(
            f"stride: got {stride}; a learned imputer needs a power of two, 2 or more, as the number of "
            "pixels per cell; choose another target layer, or RES-G, whose imputer works at any stride"
        )


def _start_as_average(layer: nn.Conv2d) -> None:
    """Let the first channel (F+) pass as its average; bring the others to a tenth of their start."""
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.weight[0, 0].fill_(1 / layer.weight[0, 0].numel())
        if layer.bias is not None:
            layer.bias.zero_()
