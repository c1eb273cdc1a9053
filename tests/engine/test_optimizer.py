"""Fused optimizers against their equations, written out."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.engine.checkpoint import optimizer_tensors, restore_optimizer
from lookright.engine.optimizer import make_optimizer

LR, DECAY = 0.05, 0.1


def adam(weight: Tensor, decoupled: bool) -> Iterator[Tensor]:
    """Kingma & Ba, algorithm 1; decoupled decay: Loshchilov & Hutter, algorithm 2. In float64."""
    first = second = torch.zeros_like(weight)
    for step in range(1, 100):
        gradient = yield weight
        if decoupled:
            weight = weight - LR * DECAY * weight
        else:
            gradient = gradient + DECAY * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        root = (second / (1 - 0.999**step)).sqrt()
        weight = weight - LR * first / (1 - 0.9**step) / (root + 1e-8)


def sgd(weight: Tensor) -> Iterator[Tensor]:
    """Momentum as Sutskever et al. (ICML 2013) have it, without dampening, decay in the gradient."""
    velocity: Tensor | None = None
    while True:
        gradient = (yield weight) + DECAY * weight
        velocity = gradient if velocity is None else 0.9 * velocity + gradient
        weight = weight - LR * velocity


EQUATIONS: dict[str, Callable[[Tensor], Iterator[Tensor]]] = {
    "adamw": lambda weight: adam(weight, True),
    "adam": lambda weight: adam(weight, False),
    "sgd": sgd,
}
every_optimizer = pytest.mark.parametrize("name", EQUATIONS)


def config(name: str) -> TrainConfig:
    return TrainConfig(optimizer=name, lr=LR, weight_decay=DECAY)


def gradients(shape: torch.Size) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.randn(shape, generator=generator)


@every_optimizer
def test_fused_is_its_equation(name: str) -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5))]
    optimizer = make_optimizer(config(name), parameters, "cpu")
    assert optimizer.defaults["fused"]
    expected = [EQUATIONS[name](p.detach().double()) for p in parameters]
    sources = [gradients(p.shape) for p in parameters]
    for equation in expected:
        next(equation)
    for _ in range(8):
        after = []
        for parameter, equation, source in zip(parameters, expected, sources, strict=True):
            parameter.grad = next(source)
            after.append(equation.send(parameter.grad.double()))
        optimizer.step()
        for parameter, value in zip(parameters, after, strict=True):
            torch.testing.assert_close(parameter.detach().double(), value, rtol=1e-4, atol=1e-5)


@every_optimizer
def test_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(name: str) -> None:
    start = torch.linspace(-1, 1, 6)
    through, resumed = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one, first = (
        make_optimizer(config(name), [through], "cpu"),
        make_optimizer(config(name), [resumed], "cpu"),
    )
    source = [next(gradients(start.shape)) * i for i in range(1, 7)]
    for i, gradient in enumerate(source):
        if i == 3:
            kept = {k: v.clone() for k, v in optimizer_tensors(first).items()}
            first = make_optimizer(config(name), [resumed], "cpu")
            restore_optimizer(first, kept)
        for optimizer, parameter in ((one, through), (first, resumed)):
            parameter.grad = gradient.clone()
            optimizer.step()
    assert torch.equal(through, resumed)


@every_optimizer
def test_scaled_gradients(name: str) -> None:
    """As fp16 has them: the kernel divides by the scale itself, and passes over steps that overflow."""
    plain, scaled = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizers = [make_optimizer(config(name), [p], "cpu") for p in (plain, scaled)]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for value in (1.0, math.inf, -2.0):
        if math.isfinite(value):
            (value * plain).sum().backward()
            optimizers[0].step()
        scaler.scale((value * scaled).sum()).backward()
        scaler.step(optimizers[1])
        scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad()
    torch.testing.assert_close(scaled, plain)


def test_what_a_device_cannot_fuse_is_the_plain_one() -> None:
    weight = nn.Parameter(torch.ones(2))
    assert not make_optimizer(config("adamw"), [weight], "meta").defaults["fused"]
