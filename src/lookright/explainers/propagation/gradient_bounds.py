"""Bounds of the input gradient over a box of images: an interval forward and an interval backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.explainers.propagation.bounds import Intervals, box, check_finite
from lookright.explainers.propagation.carrier import propagate
from lookright.explainers.propagation.pair import Activation, Function, Pair, Window


def input_gradient_bounds(
    network: nn.Module, image: Tensor, region: Tensor, epsilon: float, label: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Bound the input gradient d z_label / d x over a box (Wicker et al., ICLR 2023).

    The box holds every image that differs by at most epsilon in the pixels of the region and not at all
    elsewhere (see `output_bounds`). An interval of the gradient goes back through the network:

        linear      W^T c -+ |W|^T r, c and r the centre and radius of the interval
        activation  times the interval of its slope: [0, 1] for a ReLU whose input can have either sign
        max pooling to each cell that can be the maximum: [0, 1] of it, 1 if no other can

    At epsilon = 0 both are the gradient. Differentiable with respect to the weights, with the slope intervals
    of ReLU and max pooling held fixed. The network may be in either mode: it is run in evaluation mode and
    left as it was.

    Args:
        network: as for `output_bounds`
        image: (B, C, H, W)
        region: (B, 1, H, W) bool
        epsilon: at least 0, in the units of `image` (after normalisation)
        label: (B,) int64

    Returns:
        lower and upper bounds, (B, C, H, W) each

    Raises:
        ConfigError: the network has another layer; a region or a label of another shape or type; a negative
            epsilon.
        NonFiniteError: the bounds overflow.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
        >>> _ = nn.init.ones_(network[1].weight)
        >>> everywhere = torch.ones(1, 1, 1, 2, dtype=torch.bool)
        >>> lower, upper = input_gradient_bounds(
        ...     network, torch.zeros(1, 1, 1, 2), everywhere, 0.5, torch.tensor([0])
        ... )
        >>> lower.tolist(), upper.tolist()  # of a linear network: its weights
        ([[[[1.0, 1.0]]]], [[[[1.0, 1.0]]]])
    """

    def start(logits: Pair) -> Pair:
        chosen = _one_hot(label, logits)
        return Pair(chosen, chosen)

    return _gradient_bounds(network, image, region, epsilon, start)


def loss_gradient_bounds(
    network: nn.Module, image: Tensor, region: Tensor, epsilon: float, label: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Bound the input gradient of the cross-entropy, d (-log p_label) / d x, over a box.

    What R4 penalises (Ghitu et al., "Model Guidance via Robust Feature Attribution", TMLR 2025). As
    `input_gradient_bounds`, starting from the interval of softmax(z) - onehot(label) that the bounds of the
    logits leave open:

        p_k >= e^{l_k} / (e^{l_k} + sum_{j != k} e^{u_j})
        p_k <= e^{u_k} / (e^{u_k} + sum_{j != k} e^{l_j})

    Args:
        network: as for `output_bounds`
        image: (B, C, H, W)
        region: (B, 1, H, W) bool
        epsilon: at least 0, in the units of `image` (after normalisation)
        label: (B,) int64

    Returns:
        lower and upper bounds, (B, C, H, W) each; of each image's own cross-entropy, not of their mean

    Raises:
        ConfigError, NonFiniteError: as `input_gradient_bounds`

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
        >>> nowhere = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
        >>> lower, upper = loss_gradient_bounds(
        ...     network, torch.zeros(1, 1, 1, 2), nowhere, 0.5, torch.tensor([0])
        ... )
        >>> torch.allclose(lower, upper)
        True
    """

    def start(logits: Pair) -> Pair:
        chosen = _one_hot(label, logits)
        lowest = (logits.first - _logsumexp_of_others(logits.second)).sigmoid()
        highest = (logits.second - _logsumexp_of_others(logits.first)).sigmoid()
        return Pair(lowest - chosen, highest - chosen)

    return _gradient_bounds(network, image, region, epsilon, start)


def _gradient_bounds(
    network: nn.Module, image: Tensor, region: Tensor, epsilon: float, start: Callable[[Pair], Pair]
) -> tuple[Tensor, Tensor]:
    in_graph = torch.is_grad_enabled()
    images = box(image, region, epsilon)
    # The backward pass of a linear layer is autograd's: the graph has to begin at the image at the latest.
    with torch.enable_grad():
        images = Pair(*(x if x.requires_grad else x.requires_grad_() for x in (images.first, images.second)))
        rules = _Recorded(differentiable=in_graph)
        logits = propagate(network, images, rules)
    with torch.set_grad_enabled(in_graph):
        gradient = rules.backward(logits, start(logits), images)
    check_finite(gradient)
    if in_graph:
        return gradient.first, gradient.second
    return gradient.first.detach(), gradient.second.detach()


@dataclass(frozen=True)
class _Step:
    inputs: tuple[Pair, ...]
    output: Pair
    pull: Callable[[Pair], tuple[Pair, ...]]
    """interval of the gradient of the output -> that of each input"""


class _Recorded(Intervals):
    """Interval bounds that remember how they came about, to go back."""

    name = "the bound of the input gradient"

    def __init__(self, *, differentiable: bool) -> None:
        self.differentiable = differentiable
        self.steps: list[_Step] = []

    def backward(self, output: Pair, gradient: Pair, source: Pair) -> Pair:
        """Carry the gradient of the output back to the source."""
        gradients = {output: gradient}
        while self.steps:  # each is let go once it has passed
            step = self.steps.pop()
            arrived = gradients.pop(step.output, None)
            if arrived is None:
                continue
            for x, part in zip(step.inputs, step.pull(arrived), strict=True):
                known = gradients.get(x)
                gradients[x] = part if known is None else self.each((known, part), torch.add)
        if source not in gradients:
            raise ConfigError("network: the logits do not depend on the image")
        return gradients[source]

    def linear(
        self,
        inputs: tuple[Pair, ...],
        apply: Function,
        absolute: Function | None = None,
        constant: Tensor | float | None = None,
    ) -> Pair:
        """Bound a linear layer."""
        transpose = partial(_transpose, differentiable=self.differentiable)
        if absolute is None:
            # Copies, since one activation may be here twice.
            first_in = tuple(x.first.view_as(x.first) for x in inputs)
            second_in = tuple(x.second.view_as(x.second) for x in inputs)
            first, second = apply(*first_in), apply(*second_in)
            bounds = Pair(first, second) if constant is None else Pair(first + constant, second + constant)

            def pull(gradient: Pair) -> tuple[Pair, ...]:
                lower = transpose(first, first_in, gradient.first)
                upper = transpose(second, second_in, gradient.second)
                return tuple(map(Pair, lower, upper))

        else:
            centre_in = tuple((x.first + x.second) / 2 for x in inputs)
            radius_in = tuple((x.second - x.first) / 2 for x in inputs)
            centre, radius = apply(*centre_in), absolute(*radius_in)
            middle = centre if constant is None else centre + constant
            bounds = Pair(middle - radius, middle + radius)

            def pull(gradient: Pair) -> tuple[Pair, ...]:
                centres = transpose(centre, centre_in, (gradient.first + gradient.second) / 2)
                radii = transpose(radius, radius_in, (gradient.second - gradient.first) / 2)
                return tuple(Pair(c - r, c + r) for c, r in zip(centres, radii, strict=True))

        self.steps.append(_Step(inputs, bounds, pull))
        return bounds

    def activation(self, x: Pair, activation: Activation) -> Pair:
        """Bound a nondecreasing function."""
        bounds = super().activation(x, activation)

        def pull(gradient: Pair) -> tuple[Pair, ...]:
            return (_times(gradient, Pair(*activation.slopes(x.first, x.second))),)

        self.steps.append(_Step((x,), bounds, pull))
        return bounds

    def max_pool(self, x: Pair, window: Window) -> Pair:
        """Bound a max pooling."""
        bounds = super().max_pool(x, window)

        def pull(gradient: Pair) -> tuple[Pair, ...]:
            return (_unpool(x, window, gradient),)

        self.steps.append(_Step((x,), bounds, pull))
        return bounds


def _transpose(
    output: Tensor, inputs: tuple[Tensor, ...], gradient: Tensor, *, differentiable: bool
) -> tuple[Tensor, ...]:
    """Apply the transpose of the linear function that made the output from the inputs."""
    return torch.autograd.grad(output, inputs, gradient, retain_graph=True, create_graph=differentiable)


def _times(gradient: Pair, slope: Pair) -> Pair:
    """Multiply an interval by one that is not negative."""
    return Pair(
        torch.minimum(gradient.first * slope.first, gradient.first * slope.second),
        torch.maximum(gradient.second * slope.first, gradient.second * slope.second),
    )


def _unpool(x: Pair, window: Window, gradient: Pair) -> Pair:
    """Interval of the gradient of a max pooling's input.

    A cell can be the maximum of a window if its upper bound exceeds the lower bounds of the cells before it
    and reaches those of the cells after it: of equal cells PyTorch takes the first.
    """
    batch, channels, height, width = x.first.shape
    size = tuple(
        max((cells - 1) * stride + dilation * (kernel - 1) + 1, side + 2 * padding)
        for cells, stride, dilation, kernel, side, padding in zip(
            gradient.first.shape[2:],
            window.stride,
            window.dilation,
            window.kernel_size,
            (height, width),
            window.padding,
            strict=True,
        )
    )
    top, left = window.padding
    border = (left, size[1] - width - left, top, size[0] - height - top)
    options = {"dilation": window.dilation, "stride": window.stride}

    def windows(bound: Tensor) -> Tensor:
        padded = F.pad(bound.detach(), border, value=-torch.inf)
        columns = F.unfold(padded, window.kernel_size, **options)
        return columns.view(batch, channels, -1, columns.shape[-1])

    lower, upper = windows(x.first), windows(x.second)
    nothing = torch.full_like(lower[:, :, :1], -torch.inf)
    before = torch.cat([nothing, lower.cummax(dim=2).values[:, :, :-1]], dim=2)
    after = torch.cat([lower.flip(2).cummax(dim=2).values.flip(2)[:, :, 1:], nothing], dim=2)
    possible = (upper > before) & (upper >= after)
    certain = possible & (possible.sum(dim=2, keepdim=True) == 1)
    share = Pair(certain.to(lower.dtype), possible.to(lower.dtype))

    def fold(parts: Tensor) -> Tensor:
        folded = F.fold(parts.flatten(1, 2), size, window.kernel_size, **options)
        return folded[:, :, top : top + height, left : left + width]

    arrived = Intervals.each((gradient,), lambda bound: bound.flatten(2).unsqueeze(2))
    return Intervals.each((_times(arrived, share),), fold)


def _one_hot(label: Tensor, logits: Pair) -> Tensor:
    batch, classes = logits.first.shape
    if label.dtype != torch.int64 or label.shape != (batch,):
        raise ConfigError(f"label: got {label.dtype} {tuple(label.shape)}, need torch.int64 {(batch,)}")
    return (label[:, None] == torch.arange(classes, device=label.device)).to(logits.first)


def _logsumexp_of_others(logits: Tensor) -> Tensor:
    """For each class the log of the sum of exponentials of all others, (B, K)."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits[:, None].masked_fill(itself, -torch.inf).logsumexp(dim=2)
