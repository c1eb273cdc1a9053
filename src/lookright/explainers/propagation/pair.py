"""What travels through the network instead of the image, and the rules that say how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

Function = Callable[..., Tensor]


class Refused(Exception):  # noqa: N818 (never leaves this package: `propagate` turns it into a ConfigError)
    """An operation that the rules do not cover."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two tensors of one shape that stand for one activation: its two parts, or its lower and upper bound."""

    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Activation:
    """A nondecreasing elementwise function."""

    name: str
    function: Callable[[Tensor], Tensor]
    slopes: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """bounds of an interval -> smallest and largest derivative in it"""
    rectifier: bool
    """whether it is a ReLU or a variant of it with f(0) = 0"""


@dataclass(frozen=True)
class Window:
    """The options of a two-dimensional max pooling."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil_mode: bool

    def pool(self, activation: Tensor) -> Tensor:
        """Pool (B, C, H, W) to (B, C, h, w)."""
        return F.max_pool2d(
            activation, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def index(self, activation: Tensor) -> Tensor:
        """Find the maxima of (B, C, H, W): their flat indices, (B, C, h, w)."""
        return F.max_pool2d(
            activation,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            return_indices=True,
        )[1]


class Rules(ABC):
    """How a pair passes the three kinds of operations that a supported network is made of."""

    name: ClassVar[str]
    """what is propagated, for an error"""
    supported: ClassVar[str]
    """what it is defined for, for an error"""

    @abstractmethod
    def linear(
        self,
        inputs: tuple[Pair, ...],
        apply: Function,
        absolute: Function | None = None,
        constant: Tensor | float | None = None,
    ) -> Pair:
        """Pass `apply(*inputs) + constant`.

        Args:
            inputs: what goes in
            apply: a function, linear in its arguments
            absolute: the same with the absolute values of its coefficients; None: they are not negative
            constant: added to the result; broadcasts to it
        """

    @abstractmethod
    def activation(self, x: Pair, activation: Activation) -> Pair:
        """Pass an elementwise activation."""

    @abstractmethod
    def max_pool(self, x: Pair, window: Window) -> Pair:
        """Pass a max pooling."""
