"""LayerNorm of our own against finite differences and against PyTorch's."""

from typing import Any

import pytest
import torch
from derivatives import (
    SOME_OF_THREE,
    all_derivatives,
    check_where_needed,
    error,
    second_derivatives,
    written_twice,
)
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from lookright.explainers.double_backward import sites_alone
from lookright.explainers.double_backward_layer_norm import layer_norm
from lookright.explainers.twice import twice_differentiable

KINDS = ("x", "x and weight", "x, weight and bias")


def random(kind: str, shape: tuple[int, ...] = (2, 3, 5), **options: Any) -> list[Tensor]:
    torch.manual_seed(0)
    inputs = [torch.randn(shape, **options)]
    inputs += [torch.rand(shape[-1:], **options) for _ in range(KINDS.index(kind))]
    return inputs


def theirs(x: Tensor, *weights: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], *weights, eps=1e-3)


def ours(x: Tensor, *weights: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], *weights, eps=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 6), (1, 2, 2, 3), (5,)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_against_finite_differences(kind: str, shape: tuple[int, ...]) -> None:
    inputs = random(kind, shape, dtype=torch.float64, requires_grad=True)
    assert "_LayerNorm" in type(ours(*inputs).grad_fn).__name__
    assert gradcheck(ours, inputs)
    assert gradgradcheck(ours, inputs)


@pytest.mark.parametrize("needed", SOME_OF_THREE)
def test_some_inputs_alone_need_gradients(needed: tuple[int, int, int]) -> None:
    check_where_needed(ours, random(KINDS[-1], dtype=torch.float64), needed)


@pytest.mark.parametrize("used", SOME_OF_THREE)
def test_some_gradients_alone_are_differentiated(used: tuple[int, int, int]) -> None:
    inputs = random(KINDS[-1], dtype=torch.float64, requires_grad=True)
    found, expected = (second_derivatives(function, inputs, used) for function in (ours, theirs))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_as_in_pytorch(kind: str) -> None:
    inputs = random(kind, (2, 7, 32))
    for found, expected in zip(all_derivatives(ours, inputs), all_derivatives(theirs, inputs), strict=True):
        if expected is None:
            assert found is None
        else:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_channels_of_maps_as_networks_normalise_them() -> None:
    x, w, b = torch.randn(2, 6, 3, 4), torch.rand(6), torch.rand(6)

    def normalise(x: Tensor, *weights: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), (6,), *weights).permute(0, 3, 1, 2).mean((2, 3))

    expected = all_derivatives(normalise, [x, w, b])
    with twice_differentiable():
        found = all_derivatives(normalise, [x, w, b])
    for a, b in zip(found, expected, strict=True):
        assert (a is None) is (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_weights_get_none_where_sites_alone_are_asked_for() -> None:
    inputs = random(KINDS[-1], requires_grad=True)
    y = ours(*inputs).square().sum()
    with sites_alone():
        found = torch.autograd.grad(y, inputs, allow_unused=True, create_graph=True)
    assert [x is None for x in found] == [False, True, True]
    assert torch.autograd.grad(found[0].square().sum(), inputs[1])[0].abs().sum() > 0
    assert torch.autograd.grad(ours(*inputs).sum(), inputs[1])[0] is not None, "and again outside"


def test_anything_else_is_pytorchs() -> None:
    x = torch.randn(2, 3, 5, requires_grad=True)
    for given, shape, weight in (
        (x, (3, 5), None),
        (x.bfloat16(), (5,), None),
        (x.bfloat16(), (5,), torch.rand(5)),
        (x.half(), (5,), torch.rand(5).half()),
    ):
        expected = F.layer_norm(given, shape, weight)
        with twice_differentiable():
            found = F.layer_norm(given, shape, weight)
        assert torch.equal(found, expected)
        assert found.dtype is expected.dtype
        assert type(found.grad_fn) is type(expected.grad_fn)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_dtypes_under_autocast(device: str, dtype: torch.dtype, request: pytest.FixtureRequest) -> None:
    if device == "cuda":
        request.getfixturevalue("gpu")
    x, *weights = (t.to(device) for t in random(KINDS[-1]))
    if dtype is torch.float64:
        weights = [w.double() for w in weights]
    with torch.autocast(device, dtype=torch.bfloat16):
        expected = all_derivatives(theirs, [x.to(dtype), *weights])
        found = all_derivatives(ours, [x.to(dtype), *weights])
    for a, b in zip(found, expected, strict=True):
        assert (a is None) is (b is None)
        if a is not None:
            assert a.dtype is b.dtype
            torch.testing.assert_close(a, b, rtol=3e-2, atol=3e-2)


def test_after_a_product_in_bfloat16_no_worse_than_twice_pytorchs_error() -> None:
    torch.manual_seed(0)
    x, matrix, (_, *weights) = torch.randn(8, 33, 32), torch.randn(32, 32), random(KINDS[-1], (1, 32))

    def normalise(x: Tensor, *weights: Tensor) -> Tensor:
        given = [t.to(x.dtype) for t in weights]
        return F.linear(F.layer_norm(x + F.linear(x, matrix.to(x.dtype)), (32,), *given), matrix.to(x.dtype))

    inputs = [x, *weights]
    exact = all_derivatives(normalise, [t.double() for t in inputs])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = all_derivatives(normalise, inputs)
        with twice_differentiable():
            found = all_derivatives(normalise, inputs)
    for a, b, precise in zip(found, expected, exact, strict=True):
        if a is not None:
            assert a.dtype is b.dtype
            assert error(a, precise) < 2 * error(b, precise)


def test_less_is_written_than_by_pytorch() -> None:
    inputs = random(KINDS[-1], (4, 16, 32))
    assert written_twice(ours, inputs) < written_twice(theirs, inputs) / 2
