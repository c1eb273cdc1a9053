"""GELU of our own against finite differences and against PyTorch's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from derivatives import all_derivatives, error, written_twice
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from lookright.explainers.double_backward_gelu import gelu
from lookright.explainers.twice import twice_differentiable

KINDS = ("none", "tanh")


def numbers(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.linspace(-6, 6, 49).to(dtype).view(7, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_against_finite_differences(kind: str) -> None:
    x = numbers(torch.float64).requires_grad_()
    function = partial(gelu, approximate=kind)
    assert "_GELU" in type(function(x).grad_fn).__name__
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


@pytest.mark.parametrize("kind", KINDS)
def test_as_in_pytorch(kind: str) -> None:
    found = all_derivatives(partial(gelu, approximate=kind), [numbers()])
    expected = all_derivatives(partial(F.gelu, approximate=kind), [numbers()])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_far_from_zero_it_is_straight(kind: str, dtype: torch.dtype) -> None:
    far = 100.0 if dtype is torch.float16 else 1e9
    x = torch.tensor([-far, -50.0, 50.0, far], dtype=dtype, requires_grad=True)
    (first,) = torch.autograd.grad(gelu(x, approximate=kind).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(first.detach(), torch.tensor([0, 0, 1, 1], dtype=dtype))
    assert torch.equal(second, torch.zeros(4, dtype=dtype))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_no_worse_than_twice_pytorchs_error_in_any_dtype(
    kind: str, dtype: torch.dtype, autocast: bool, device: str, request: pytest.FixtureRequest
) -> None:
    if device == "cuda":
        request.getfixturevalue("gpu")
    torch.manual_seed(0)
    x = torch.randn(64, 64).to(device, dtype)
    exact = all_derivatives(partial(F.gelu, approximate=kind), [x.double()])
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        expected = all_derivatives(partial(F.gelu, approximate=kind), [x])
        found = all_derivatives(partial(gelu, approximate=kind), [x])
    for ours, theirs, precise in zip(found, expected, exact, strict=True):
        assert ours.dtype is theirs.dtype
        assert error(ours, precise) <= 2 * error(theirs, precise) + 1e-15


@pytest.mark.parametrize("module", [nn.GELU(), nn.GELU("tanh")])
def test_modules(module: Callable[[Tensor], Tensor]) -> None:
    expected = all_derivatives(module, [numbers()])
    with twice_differentiable():
        found = all_derivatives(module, [numbers()])
        less = written_twice(module, [numbers()])
    assert less < written_twice(module, [numbers()])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_less_is_written_than_by_pytorch(kind: str) -> None:
    ours = written_twice(partial(gelu, approximate=kind), [numbers()])
    assert ours < 0.7 * written_twice(partial(F.gelu, approximate=kind), [numbers()])
