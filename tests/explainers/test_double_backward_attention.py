"""Attention of our own against finite differences and against PyTorch's "math" kernel."""

import math
from collections.abc import Callable
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
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

from lookright.explainers.attention import capture_attention
from lookright.explainers.double_backward import sites_alone
from lookright.explainers.double_backward_attention import scaled_dot_product_attention
from lookright.explainers.twice import twice_differentiable

SHAPES = {
    "self": ((2, 2, 4, 3), (2, 2, 4, 3), (2, 2, 4, 3)),
    "cross": ((1, 2, 3, 2), (1, 2, 5, 2), (1, 2, 5, 2)),
    "values of another width": ((1, 2, 3, 2), (1, 2, 4, 2), (1, 2, 4, 5)),
    "one query": ((2, 1, 1, 3), (2, 1, 4, 3), (2, 1, 4, 3)),
}


def math_attention(*inputs: Tensor, **options: Any) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(*inputs, **options)


def random(shapes: Any, **options: Any) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, **options) for shape in shapes]


@pytest.mark.parametrize("scale", [None, 0.3, 2.0])
@pytest.mark.parametrize("case", SHAPES)
def test_against_finite_differences(case: str, scale: float | None) -> None:
    inputs = random(SHAPES[case], dtype=torch.float64, requires_grad=True)

    def attend(*tensors: Tensor) -> Tensor:
        return scaled_dot_product_attention(*tensors, scale=scale)

    assert "_Attention" in type(attend(*inputs).grad_fn.next_functions[0][0]).__name__
    assert gradcheck(attend, inputs)
    assert gradgradcheck(attend, inputs)


@pytest.mark.parametrize("needed", SOME_OF_THREE)
def test_some_inputs_alone_need_gradients(needed: tuple[int, int, int]) -> None:
    check_where_needed(scaled_dot_product_attention, random(SHAPES["cross"], dtype=torch.float64), needed)


@pytest.mark.parametrize("used", SOME_OF_THREE)
def test_some_gradients_alone_are_differentiated(used: tuple[int, int, int]) -> None:
    inputs = random(SHAPES["cross"], dtype=torch.float64, requires_grad=True)
    found, expected = (
        second_derivatives(function, inputs, used)
        for function in (scaled_dot_product_attention, math_attention)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("case", SHAPES)
def test_as_in_pytorch(case: str) -> None:
    inputs = random(SHAPES[case])
    expected = all_derivatives(math_attention, inputs)
    for ours, theirs in zip(all_derivatives(scaled_dot_product_attention, inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_strided_as_networks_give_it() -> None:
    x = random([(2, 5, 3, 2, 4)])[0]

    def attend(x: Tensor) -> Tensor:
        q, k, v = x.permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 8)

    with sdpa_kernel(SDPBackend.MATH):
        expected = all_derivatives(attend, [x])
    with twice_differentiable():
        found = all_derivatives(attend, [x])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "timm": lambda: VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3
    ),
    "torchvision": lambda: TorchvisionViT(32, 8, 2, 2, 16, 32, num_classes=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_from_its_input_gradient_as_in_pytorch(name: str) -> None:
    torch.manual_seed(0)
    network, image = NETWORKS[name]().double(), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    for parameter in network.parameters():  # heads of zeros and the like would hide everything
        nn.init.normal_(parameter, std=0.3)

    def gradients() -> tuple[set[str], list[Tensor]]:
        leaf = image.clone().requires_grad_()
        logits = network(leaf)
        with sites_alone():
            (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaf, create_graph=True)
        loss = logits.square().mean() + gradient.square().sum()
        return nodes(loss), list(torch.autograd.grad(loss, list(network.parameters())))

    with sdpa_kernel(SDPBackend.MATH):
        _, expected = gradients()
    with twice_differentiable():
        names, found = gradients()
    assert {"_AttentionBackward", "_LayerNormBackward", "_GELUBackward"} <= names
    assert not any("LayerNormBackward0" in n or "GeluBackward0" in n or "Softmax" in n for n in names)
    scale = max(float(each.abs().max()) for each in expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * scale)


def nodes(value: Tensor) -> set[str]:
    """Names of the operations that autograd has recorded."""
    seen, left = set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [below for below, _ in node.next_functions]
    return {type(node).__name__ for node in seen}


OTHERS: dict[str, dict[str, Any]] = {
    "mask": {"attn_mask": torch.linspace(-2, 2, 16).view(4, 4)},
    "mask of bool": {"attn_mask": torch.ones(4, 4, dtype=torch.bool).tril()},
    "causal": {"is_causal": True},
    "dropout": {"dropout_p": 0.5},
    "grouped queries": {"enable_gqa": True},
    "three dimensions": {},
    "broadcast": {},
    "float16": {},
}


@pytest.mark.parametrize("case", OTHERS)
def test_anything_else_is_pytorchs(case: str) -> None:
    q, k, v = random([(2, 4, 4, 3)] * 3, requires_grad=True)
    if case == "grouped queries":
        k, v = k[:, :2], v[:, :2]
    elif case == "three dimensions":
        q, k, v = q[0], k[0], v[0]
    elif case == "broadcast":
        k, v = k[:1], v[:1]
    elif case == "float16":
        q, k, v = q.half(), k.half(), v.half()
    torch.manual_seed(1)
    expected = math_attention(q, k, v, **OTHERS[case])
    torch.manual_seed(1)
    with twice_differentiable():
        found = F.scaled_dot_product_attention(q, k, v, **OTHERS[case])
    assert torch.equal(found, expected)
    assert type(found.grad_fn) is type(expected.grad_fn)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_dtypes_under_autocast(device: str, dtype: torch.dtype, request: pytest.FixtureRequest) -> None:
    if device == "cuda":
        request.getfixturevalue("gpu")
    inputs = [x.to(device, dtype) for x in random(SHAPES["self"])]
    with torch.autocast(device, dtype=torch.bfloat16):
        expected = all_derivatives(math_attention, inputs)
        found = all_derivatives(scaled_dot_product_attention, inputs)
    assert [x.dtype for x in found] == [x.dtype for x in expected]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=3e-2, atol=3e-2)


class Block(nn.Module):
    """Attention between its projections, as it stands in a network."""

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        nn.init.normal_(self.qkv.weight, std=sharpness / math.sqrt(32))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 16).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_between_projections_in_bfloat16_no_worse_than_twice_pytorchs_error(
    sharpness: float, shift: float
) -> None:
    """A shift is common to all tokens, so keys and values have a part in common, as trained ones do."""
    x = random([(4, 65, 32)])[0]
    x = x + shift * torch.randn(32)
    block = Block(sharpness)
    with sdpa_kernel(SDPBackend.MATH):
        exact = all_derivatives(block.double(), [x.double()])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = all_derivatives(block.float(), [x])
    with torch.autocast("cpu", dtype=torch.bfloat16), twice_differentiable():
        found = all_derivatives(block, [x])
    for ours, theirs, precise in zip(found, expected, exact, strict=True):
        assert ours.dtype is theirs.dtype
        assert error(ours, precise) < 2 * error(theirs, precise)


def test_less_is_written_than_by_pytorch() -> None:
    inputs = random([(1, 2, 128, 8)] * 3)
    ours = written_twice(scaled_dot_product_attention, inputs)
    assert ours < 0.75 * written_twice(math_attention, inputs)
    half = [x.bfloat16() for x in inputs]
    assert written_twice(scaled_dot_product_attention, half) < 0.4 * written_twice(math_attention, half)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch_first", [True, False])
def test_the_attention_inside_multihead_attention(batch_first: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(8, 2, batch_first=batch_first), torch.rand(3, 5, 8)

    def attend(x: Tensor) -> Tensor:
        return layer(x, x, x, need_weights=False)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        with sdpa_kernel(SDPBackend.MATH):
            expected = all_derivatives(attend, [x])
        with twice_differentiable():
            found = all_derivatives(attend, [x])
            less = written_twice(attend, [x])
        with sdpa_kernel(SDPBackend.MATH):
            assert less < written_twice(attend, [x])
    tolerance = 1e-5 if dtype is torch.float32 else 3e-2
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype is theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("option", [{}, {"add_zero_attn": True}, {"add_bias_kv": True}], ids=str)
def test_any_multihead_attention(option: dict[str, bool], weights: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(8, 2, **option), torch.rand(5, 3, 8)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
    for given in ({}, {"attn_mask": mask}, {"attn_mask": mask, "is_causal": True}):
        expected = layer(x, x, x, need_weights=weights, **given)
        with twice_differentiable():
            found = layer(x, x, x, need_weights=weights, **given)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("twice_first", [True, False])
def test_matrices_are_recorded_in_either_order(twice_first: bool) -> None:
    q, k, v = random(SHAPES["self"], requires_grad=True)
    layer, x = nn.MultiheadAttention(8, 2), torch.rand(5, 1, 8)
    first, then = twice_differentiable(), capture_attention()
    with first if twice_first else then as a, then if twice_first else first as b:
        F.scaled_dot_product_attention(q, k, v)
        layer(x, x, x, need_weights=False)
    assert [len(recorded) for recorded in (a, b) if recorded is not None] == [2]
