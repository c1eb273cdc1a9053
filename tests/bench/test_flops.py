"""Operations against counting by hand."""

import pytest
import torch
from torch import nn

from lookright.bench.flops import count_flops, product_rate


@pytest.mark.parametrize(
    ("convolution", "forward"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), 6 * 8 * 8 * 4 * 9),
        (nn.Conv2d(4, 6, 3, padding=1, stride=2), 6 * 4 * 4 * 4 * 9),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), 6 * 8 * 8 * 2 * 9),
        (nn.Conv2d(4, 4, 5, padding=2, groups=4), 4 * 8 * 8 * 1 * 25),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), 4 * 8 * 8 * 6 * 4),
    ],
    ids=["dense", "strided", "grouped", "depthwise", "transposed"],
)
def test_convolutions_forward_and_backward(convolution: nn.Module, forward: int) -> None:
    images = 3
    image = torch.rand(images, 4, 8, 8)
    forward *= 2 * images
    assert count_flops(lambda: convolution(image)) == forward
    assert count_flops(lambda: convolution(image).sum().backward()) == 2 * forward, "weights alone"
    image.requires_grad_()
    assert count_flops(lambda: convolution(image).sum().backward()) == 3 * forward


def test_linear_layers_forward_and_backward() -> None:
    layer, rows = nn.Linear(5, 7), torch.rand(3, 5, requires_grad=True)
    assert count_flops(lambda: layer(rows).sum().backward()) == 3 * 2 * 3 * 5 * 7


def test_the_rate_of_a_product() -> None:
    assert product_rate(64, torch.device("cpu"))() > 1e6
