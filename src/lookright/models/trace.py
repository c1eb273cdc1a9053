"""Which module of a network runs when and gives what: target layer, head and stages are found from that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from lookright.errors import ConfigError
from lookright.models.maps import Layout
from lookright.models.modes import evaluating
from lookright.models.softmax import is_over_keys
from lookright.models.views import View, find_views

_ATTENTION = (F.scaled_dot_product_attention, F.multi_head_attention_forward)


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
    attends: bool = False
    """whether it computes attention itself, not by a module inside it"""
    view: View | None = None
    """how to see the output as a map (B, C, h, w) of more than one cell, if it is one or tokens of one"""

    @property
    def grid(self) -> tuple[int, int] | None:
        """(h, w) of the output if it is a map, channels first or last, of more than one cell; no tokens."""
        return None if self.view is None or self.view.layout is Layout.TOKENS else self.view.grid


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

    @property
    def heads(self) -> tuple[Execution, ...]:
        """The modules that give the logits, in order; see `find_heads`."""
        giving = [
            execution
            for execution in self.last_runs.values()
            if execution.output is not None and execution.output[:2] == (1, self.classes)
            if _owns(execution.module)
        ]
        # a network that owns its class token is no head
        inner = [e for e in giving if not any(o is not e and is_inside(o.name, e.name) for o in giving)]
        if not inner:
            return ()
        last = inner[-1]
        if last.input is None or len(last.input) != 2 or last.input == last.output:
            return (last,)
        alike = (type(last.module), last.input, last.output)
        return tuple(e for e in inner if (type(e.module), e.input, e.output) == alike)

    @property
    def pools(self) -> frozenset[str]:
        """Names of the modules that pool, by attention say.

        They take a map or tokens, not the image, give less and neither of both, and hold the smaller part of
        the weights.
        """
        weights = {e.name: sum(p.numel() for p in e.module.parameters()) for e in self.executions}
        image = (1, 3, self.image_size, self.image_size)
        return frozenset(
            e.name
            for e in self.executions
            if e.name and e.view is None and e.output is not None and e.input not in (None, image)
            if len(e.input or ()) in (3, 4) and math.prod(e.output) < math.prod(e.input or ())
            if 2 * weights[e.name] < weights[""]
        )


def trace(network: nn.Module, image_size: int) -> Trace:
    """Run a network once on a black image, without gradient and in eval mode, and write down what ran.

    Where the layout of a map cannot be told otherwise it runs once more, on an image of twice the size. The
    network comes back as it was: modes, statistics, hooks.

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

    def double() -> list[Execution]:
        try:
            return _run(network, 2 * image_size)
        except Exception:  # made for one size; the next rule decides
            return []

    try:
        executions = _run(network, image_size)
    except Exception as error:
        raise failure(error, image_size) from error
    views = find_views(executions, image_size, double)
    return Trace(tuple(replace(e, view=v) for e, v in zip(executions, views, strict=True)), image_size)


def find_heads(traced: Trace) -> tuple[Execution, ...]:
    """Find the head: the last module with parameters of its own that gives the logits (B, K).

    Where the logits are pooled from a map (SqueezeNet), it is the module that gives (B, K, h, w). Layers of
    one kind and shape that all give logits are heads together (the two of a distilled DeiT).

    Raises:
        ConfigError: there is none, or the network does not give (B, K).
    """
    if not traced.heads:
        raise ConfigError(
            f"network: no layer with parameters gives the {traced.classes} logits: it has no head"
        )
    return traced.heads


def failure(error: Exception, image_size: int) -> ConfigError:
    """Make the error for a network that raises."""
    first = str(error).strip().partition("\n")[0] or "no message"
    return ConfigError(
        f"the network fails on an image of 3 x {image_size} x {image_size} pixels "
        f"({type(error).__name__}: {first}); check image_size and the network"
    )


class _AttentionNotes(TorchFunctionMode):
    """Note in which of the running modules attention is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[bool] = []
        """one per module under way, the innermost last: whether attention was seen in it"""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self.running and (func in _ATTENTION or is_over_keys(func, output, args, kwargs)):
            self.running[-1] = True
        return output


def _run(network: nn.Module, image_size: int) -> list[Execution]:
    executions: list[Execution] = []
    tensors: dict[int, tuple[int, Tensor]] = {}  # holding on to the tensors keeps their ids unique
    notes = _AttentionNotes()

    def number(tensor: Tensor) -> int:
        return tensors.setdefault(id(tensor), (len(tensors), tensor))[0]

    def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
        notes.running.append(False)

    def recorder(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            is_tensor = isinstance(output, Tensor)
            executions.append(
                Execution(
                    name=name,
                    module=module,
                    input=tuple(args[0].shape) if args and isinstance(args[0], Tensor) else None,
                    output=tuple(output.shape) if is_tensor else None,
                    tensor=number(output) if is_tensor else None,
                    attends=notes.running.pop(),
                )
            )

        return hook

    handles = []
    try:
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(recorder(name)))
        image = torch.zeros(1, 3, image_size, image_size, **placement(network))
        # a batch of one: BatchNorm must not count it
        with evaluating(network), torch.no_grad(), notes:
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return executions


def placement(network: nn.Module) -> dict[str, Any]:
    """Device and floating-point type of a network, as arguments."""
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    return {"device": like.device, "dtype": like.dtype}


def is_inside(name: str, part: str) -> bool:
    """Whether a module is another one or a part of it; the network itself, the empty name, holds all."""
    return part == "" or name == part or name.startswith(part + ".")


def _owns(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or parametrize.is_parametrized(module)
