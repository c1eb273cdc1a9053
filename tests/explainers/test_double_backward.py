"""Second derivatives of our own against finite differences, and against PyTorch's on whole networks."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Event, Thread, get_ident
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from lookright.explainers.double_backward import (
    batch_norm,
    conv2d,
    sites_alone,
    weights_are_asked_for,
)
from lookright.explainers.twice import twice_differentiable
from lookright.models import create

DOUBLE: dict[str, Any] = {"dtype": torch.float64, "requires_grad": True}

CONVOLUTIONS = {
    "plain": ((4, 2, 3, 3), {}),
    "strided, padded, dilated": ((4, 2, 3, 2), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}),
    "in groups": ((4, 1, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 1, 3, 3), {"groups": 2, "stride": 2}),
    "pointwise": ((3, 2, 1, 1), {}),
    "padding by name": ((3, 2, 3, 3), {"padding": "same"}),
}


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: str, with_bias: bool) -> None:
    torch.manual_seed(0)
    shape, options = CONVOLUTIONS[case]
    inputs = [torch.randn(2, 2, 6, 5, **DOUBLE), torch.randn(shape, **DOUBLE)]
    if with_bias:
        inputs.append(torch.randn(shape[0], **DOUBLE))

    def convolve(*tensors: Tensor) -> Tensor:
        return conv2d(*tensors, **options)

    torch.testing.assert_close(convolve(*inputs), F.conv2d(*inputs, **options))
    assert gradcheck(convolve, inputs)
    assert gradgradcheck(convolve, inputs)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(training: bool, affine: bool) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(3, 2, 3, 4, **DOUBLE)]
    if affine:
        inputs += [torch.rand(2, **DOUBLE), torch.rand(2, **DOUBLE)]
    mean, variance = torch.rand(2).double(), torch.rand(2).double() + 0.5

    def normalise(x: Tensor, *weights: Tensor, by: Callable[..., Tensor] = batch_norm) -> Tensor:
        return by(x, mean.clone(), variance.clone(), *(weights or (None, None)), training, 0.1, 1e-2)

    torch.testing.assert_close(normalise(*inputs), normalise(*inputs, by=F.batch_norm))
    assert gradcheck(normalise, inputs)
    assert gradgradcheck(normalise, inputs)


def test_statistics_move_as_in_pytorch() -> None:
    x, running = torch.randn(4, 3, 5, 5), [torch.zeros(3), torch.ones(3)]
    expected = [each.clone() for each in running]
    batch_norm(x, *running, training=True)
    F.batch_norm(x, *expected, training=True)
    for ours, theirs in zip(running, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_a_network_learns_from_its_input_gradient_as_in_pytorch(backbone: str, training: bool) -> None:
    torch.manual_seed(0)
    network = create(backbone, num_classes=2, image_size=32).network.double().train(training)
    image = torch.rand(4, 3, 32, 32, dtype=torch.float64)

    def gradients() -> list[Tensor]:
        network.zero_grad()
        leaf = image.clone().requires_grad_()
        logits = network(leaf.clone())
        with sites_alone():
            (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaf, create_graph=True)
        (logits.square().mean() + gradient.square().sum()).backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    expected = gradients()
    with twice_differentiable():
        found = gradients()
    scale = max(float(each.abs().max()) for each in expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * scale)


def test_weights_get_none_where_sites_alone_are_asked_for() -> None:
    x, weight = torch.rand(1, 2, 4, 4, requires_grad=True), torch.rand(2, 2, 3, 3, requires_grad=True)
    y = conv2d(x, weight).sum()
    with sites_alone():
        found = torch.autograd.grad(y, (x, weight), allow_unused=True, retain_graph=True)
    assert found[0] is not None
    assert found[1] is None
    assert torch.autograd.grad(y, weight)[0] is not None, "and again outside"


def test_each_thread_decides_for_itself() -> None:
    x, weight = torch.rand(1, 2, 4, 4, requires_grad=True), torch.rand(2, 2, 3, 3, requires_grad=True)
    y = conv2d(x, weight).sum()
    entered, left = Event(), Event()

    def other() -> None:
        with sites_alone():
            entered.set()
            left.wait(10)

    thread = Thread(target=other)
    with sites_alone():
        thread.start()
        assert entered.wait(10)
    found = torch.autograd.grad(y, weight, retain_graph=True, allow_unused=True)
    assert found[0] is not None, "beside another"
    left.set()
    thread.join()
    found = torch.autograd.grad(y, weight, allow_unused=True)
    assert found[0] is not None, "after another, which ended last"


def backward_passes_nested_deep() -> list[tuple[int, bool]]:
    """The thread of each, and whether weights were asked for there."""
    told: list[tuple[int, bool]] = []

    class Deep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, depth: int) -> Tensor:
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            told.append((get_ident(), weights_are_asked_for()))
            if ctx.depth:
                with torch.enable_grad():
                    leaf = torch.zeros(1, requires_grad=True)
                    Deep.apply(leaf, ctx.depth - 1).backward()
            return gradients[0], None

    with sites_alone():
        Deep.apply(torch.zeros(1, requires_grad=True), 100).backward()
    return told


def test_threads_of_autograd_know_what_is_asked_for() -> None:
    """Where backward passes are nested deep, autograd goes on in threads of its own, as it does on GPUs.

    In another process: one in which autograd has threads must not fork, as other tests here do.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        told = process.submit(backward_passes_nested_deep).result()
    assert len({thread for thread, _ in told}) > 1
    assert not any(asked for _, asked in told)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.conv2d(input=x, weight=torch.ones(3, 2, 3, 3)),
        lambda x: F.batch_norm(input=x, running_mean=None, running_var=None, training=True),
        lambda x: F.hardsigmoid(input=x),
        lambda x: F.adaptive_avg_pool2d(input=x, output_size=1),
        lambda x: torch.mean(input=x, dim=(2, 3)),
        lambda x: torch.mean(input=x, axis=(2, 3)),  # NumPy's name of it
        lambda x: F.layer_norm(input=x, normalized_shape=(4,)),
        lambda x: F.gelu(input=x),
        lambda x: F.scaled_dot_product_attention(query=x, key=x, value=x),
    ],
)
def test_arguments_have_the_names_of_pytorch(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(2, 2, 4, 4)
    with twice_differentiable():
        found = function(x)
    torch.testing.assert_close(found, function(x))


def test_compiled_in_one_piece() -> None:
    weight = torch.rand(2, 2, 3, 3, requires_grad=True)
    x = torch.rand(1, 2, 4, 4, requires_grad=True)

    def convolve(x: Tensor) -> Tensor:
        return conv2d(x, weight).square().sum()

    compiled = torch.compile(convolve, backend="aot_eager", fullgraph=True)
    found, expected = (torch.autograd.grad(f(x), (x, weight)) for f in (compiled, convolve))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "mean",
    [
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, dim=[-1, -2], keepdim=True),
        lambda x: x.mean(dim=(2, 3), dtype=torch.float32),
        lambda x: F.adaptive_avg_pool2d(x, 1),
        nn.AdaptiveAvgPool2d((1, 1)),
        # not over the grid
        lambda x: x.mean(),
        lambda x: x.mean(1),
        lambda x: x.mean((1, 2), keepdim=True),
        lambda x: x[0].mean((-1, -2)),
        nn.AdaptiveAvgPool2d(2),
    ],
)
def test_means_and_their_gradients_are_those_of_pytorch(mean: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)

    def value_and_slopes() -> tuple[Tensor, Tensor, Tensor]:
        value = mean(x)
        (first,) = torch.autograd.grad(value.pow(3).sum(), x, create_graph=True)
        return value, first, torch.autograd.grad(first.square().sum(), x)[0]

    expected = value_and_slopes()
    with twice_differentiable():
        found = value_and_slopes()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_under_autocast_pytorch_decides_the_precision() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    with torch.autocast("cpu", dtype=torch.bfloat16), twice_differentiable():
        assert network[0](torch.rand(1, 2, 5, 5)).dtype == torch.bfloat16
        assert network(torch.rand(2, 2, 5, 5)).isfinite().all()


def test_a_third_derivative_is_refused() -> None:
    x = torch.rand(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    y = batch_norm(x, None, None, training=True)
    (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
