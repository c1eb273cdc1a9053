"""Which module of a network runs when and gives what: the target layer and the head are found from that."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lookright.errors import ConfigError

_PASSES_ON = (nn.Identity, nn.Dropout, nn.Dropout2d)
_POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class Execution:
    """One run of one module."""

    name: str
    """as in `network.named_modules()`; the network itself is the empty string"""
    module: nn.Module
    input: tuple[int, ...] | None
    """shape of the first argument, if that is a tensor"""
    output: tuple[int, ...] | None
    """shape of what it returns, if that is one tensor"""
    tensor: int | None
    """number of the returned tensor: equal for modules that return the very same one"""

    @property
    def grid(self) -> tuple[int, int] | None:
        """(h, w) of the output if it is a map (B, C, h, w) of more than one cell."""
        return _grid(self.output)


@dataclass(frozen=True)
class Trace:
    """What ran in one forward pass, in the order in which the modules returned (inner before outer)."""

    executions: tuple[Execution, ...]
    image_size: int

    @property
    def last_runs(self) -> dict[str, Execution]:
        """Name of every executed module -> its last run, in the order of those."""
        runs: dict[str, Execution] = {}
        for execution in self.executions:
            runs.pop(execution.name, None)
            runs[execution.name] = execution
        return runs

    @property
    def classes(self) -> int:
        """K, from the logits (B, K).

        Raises:
            ConfigError: the network gives something else.
        """
        logits = self.executions[-1].output
        if logits is None or len(logits) != 2:
            got = "no tensor" if logits is None else str(logits)
            raise ConfigError(f"network: expected logits of shape (B, K) for an image, got {got}")
        return logits[1]


@dataclass(frozen=True)
class TargetLayer:
    """The layer whose output map is explained."""

    name: str
    module: nn.Module
    channels: int
    grid: tuple[int, int]
    """(h, w) cells for an image of the size that was asked for"""
    stride: int
    """pixels of the image per cell"""


def trace(network: nn.Module, image_size: int) -> Trace:
    """Run a network once on a black image, without gradient and in eval mode, and write down what ran.

    The network comes back as it was: modes, statistics, hooks.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image_size: H and W

    Raises:
        ConfigError: the network fails on an image of this size.

    Example:
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), pool, nn.Linear(8, 2))
        >>> [(e.name, e.output) for e in trace(network, 16).executions][:2]
        [('0', (1, 8, 14, 14)), ('1.0', (1, 8, 1, 1))]
    """
    executions: list[Execution] = []
    tensors: dict[int, tuple[int, Tensor]] = {}  # holding on to the tensors keeps their ids unique

    def number(tensor: Tensor) -> int:
        return tensors.setdefault(id(tensor), (len(tensors), tensor))[0]

    def recorder(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            is_tensor = isinstance(output, Tensor)
            executions.append(
                Execution(
                    name=name,
                    module=module,
                    input=tuple(args[0].shape) if args and isinstance(args[0], Tensor) else None,
                    output=tuple(output.shape) if is_tensor else None,
                    tensor=number(output) if is_tensor else None,
                )
            )

        return hook

    modes = [(module, module.training) for module in network.modules()]
    handles = []
    try:
        handles += [module.register_forward_hook(recorder(name)) for name, module in network.named_modules()]
        network.eval()  # a batch of one: BatchNorm must not count it
        like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
        with torch.no_grad():
            network(torch.zeros(1, 3, image_size, image_size, device=like.device, dtype=like.dtype))
    except Exception as error:
        raise ConfigError(
            f"the network fails on an image of 3 x {image_size} x {image_size} pixels "
            f"({type(error).__name__}: {_first_line(error)}); check image_size and the network"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return Trace(tuple(executions), image_size)


def find_target_layer(network: nn.Module, *, image_size: int, name: str | None = None) -> TargetLayer:
    """Find the layer to explain: the last map before the pooling, or the module that is named.

    By itself: the last module executed before the head that gives a map (B, C, h, w) with h, w > 1. Average
    pooling, Identity and Dropout are passed over; of several modules that return the same tensor it is the
    outermost below the network itself (`layer4` of a ResNet, not its last ReLU).

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image_size: H and W, which the grid depends on
        name: as in `network.named_modules()`

    Raises:
        ConfigError: no such module, it did not run, it gives no (B, C, h, w) map, or the network works on
            tokens or (B, h, w, C) maps, which are not supported yet.

    Example:
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), pool, nn.Linear(8, 2))
        >>> layer = find_target_layer(network, image_size=16)
        >>> layer.name, layer.channels, layer.grid
        ('0', 8, (14, 14))
    """
    traced = trace(network, image_size)
    execution = _by_itself(traced) if name is None else _named(network, traced, name)
    if execution.output is None or execution.grid is None:
        got = execution.output or "something that is not one tensor"
        raise ConfigError(
            f"target_layer: '{execution.name}' gives {got} for an image of {image_size} pixels, not a map "
            f"(B, C, h, w) with more than one cell; name one of {_offer(traced)}, or use larger images"
        )
    if _is_channels_last(execution.output):
        raise ConfigError(
            f"target_layer: '{execution.name}' gives {execution.output}, a map (B, h, w, C) with channels "
            "last; such networks (Swin, say) are not supported yet: use a CNN ('lookright backbones')"
        )
    _, channels, height, width = execution.output
    return TargetLayer(
        name=execution.name,
        module=execution.module,
        channels=channels,
        grid=(height, width),
        stride=max(1, round(image_size / height)),
    )


def find_head(traced: Trace) -> Execution:
    """Find the head: the last module with parameters of its own that gives the logits (B, K).

    Where the logits are pooled from a map (SqueezeNet), it is the module that gives (B, K, h, w).

    Raises:
        ConfigError: there is none, or the network does not give (B, K).
    """
    head = _head(traced)
    if head is None:
        raise ConfigError(
            f"network: no layer with parameters gives the {traced.classes} logits: it has no head"
        )
    return head


def _head(traced: Trace) -> Execution | None:
    wanted = (1, traced.classes)
    for execution in reversed(traced.executions):
        if execution.output is not None and execution.output[:2] == wanted and _owns(execution.module):
            return execution
    return None


def _owns(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or parametrize.is_parametrized(module)


def _maps(traced: Trace) -> Iterator[Execution]:
    """Give the modules that make a map, the last first, one per tensor."""
    groups: dict[int, list[Execution]] = {}
    for execution in traced.executions:
        if execution.name and execution.grid is not None and execution.tensor is not None:
            groups.setdefault(execution.tensor, []).append(execution)
    position = {id(execution): i for i, execution in enumerate(traced.executions)}
    for group in sorted(groups.values(), key=lambda g: position[id(g[-1])], reverse=True):
        if isinstance(group[0].module, _POOLS):  # whoever hands the pooled tensor on is passed over too
            continue
        makers = [execution for execution in group if not isinstance(execution.module, _PASSES_ON)]
        if makers:
            yield makers[-1]  # an outer module returns after its inner ones


def _by_itself(traced: Trace) -> Execution:
    head = _head(traced)
    before = traced.executions if head is None else traced.executions[: traced.executions.index(head)]
    found = next(_maps(Trace(before, traced.image_size)), None)
    if found is None:
        raise ConfigError(
            "target_layer: no module of this network gives a map (B, C, h, w) with more than one cell for an "
            f"image of {traced.image_size} pixels; use a convolutional network, or larger images"
        )
    if _works_on_tokens(traced, found):
        raise ConfigError(
            f"target_layer: after '{found.name}' this network works on tokens (B, N, C); transformers are "
            "not supported yet: use a CNN ('lookright backbones'), or name a layer with a map (B, C, h, w)"
        )
    return found


def _works_on_tokens(traced: Trace, found: Execution) -> bool:
    """Whether more weights work on (B, N, C) above the last map than there are up to it.

    A ViT has a patch embedding and then blocks; a CNN with attention pooling is mostly convolutions.
    """
    start = next(i for i, execution in enumerate(traced.executions) if execution is found)

    def weights(executions: tuple[Execution, ...]) -> int:
        modules = {id(e.module): e.module for e in executions}
        return sum(p.numel() for module in modules.values() for p in module.parameters(recurse=False))

    tokens = tuple(e for e in traced.executions[start:] if e.output is not None and len(e.output) == 3)
    return weights(tokens) > weights(traced.executions[: start + 1])


def _named(network: nn.Module, traced: Trace, name: str) -> Execution:
    names = [known for known, _ in network.named_modules() if known]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3)
        near = f"close: {', '.join(close)}; " if close else ""
        raise ConfigError(f"target_layer: the network has no '{name}'; {near}candidates: {_offer(traced)}")
    if name not in traced.last_runs:
        raise ConfigError(
            f"target_layer: '{name}' does not run in the forward pass; name one of {_offer(traced)}"
        )
    return traced.last_runs[name]


def _offer(traced: Trace) -> str:
    names = [e.name for e in _maps(traced) if e.output is not None and not _is_channels_last(e.output)]
    outer_first = sorted(dict.fromkeys(names), key=lambda name: name.count("."))
    return ", ".join(outer_first[:5]) or "(it has no map)"


def _is_channels_last(shape: tuple[int, ...]) -> bool:
    """(B, h, w, C): a square image gives h = w, wherever these stand."""
    return shape[1] == shape[2] != shape[3]


def _grid(shape: tuple[int, ...] | None) -> tuple[int, int] | None:
    if shape is None or len(shape) != 4 or min(shape[2:]) < 2:
        return None
    return shape[2], shape[3]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "no message"
