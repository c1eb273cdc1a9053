"""Operations against counting by hand."""

import pytest
import torch
from torch import nn

from lookright.bench.flops import count_flops, product_rate


def test_backward_of_a_convolution_is_two_more() -> None:
    conv = nn.Conv2d(3, 5, 3, padding=1)
    image = torch.rand(2, 3, 8, 8, requires_grad=True)
    forward = 2 * 2 * 5 * 8 * 8 * 3 * 9
    assert count_flops(lambda: conv(image)) == forward
    assert count_flops(lambda: conv(image).sum().backward()) == 3 * forward


def test_the_rate_of_a_product() -> None:
    assert product_rate(16, torch.device("cpu"))() == pytest.approx(1e9, rel=1e4)
