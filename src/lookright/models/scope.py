"""Which part of a network learns, and how the rest is kept as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lookright.config import TrainScope
from lookright.errors import ConfigError
from lookright.models.trace import Execution, find_heads, is_inside, trace


@dataclass(frozen=True)
class Scope:
    """The split of a network's parameters into those that learn and those that stay."""

    frozen: tuple[str, ...]
    """names of parameters"""
    trained: tuple[str, ...]
    """names of parameters"""
    parts: tuple[str, ...]
    """names of the modules that the trained parameters make up"""


def find_scope(network: nn.Module, scope: TrainScope, *, image_size: int) -> Scope:
    """Split the parameters of a network by what is to learn; changes nothing.

    - `all`: everything.
    - `last-stage`: the last unit that mixes cells, by a convolution larger than 1 x 1 on a map or by
      attention, and everything executed after it. A unit is a child of the network; a child that holds
      several stages (`features`, `blocks`, `stages`) is taken apart. So it is the last block of a ViT and the
      last stage of a Swin. A lone convolution takes its neighbours of the same resolution with it (VGG).
    - `head`: the last layer, the one that gives the logits (two of a distilled DeiT).

    Parameters that did not run in a forward pass are frozen unless the scope is `all`.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        scope: what is to learn
        image_size: H and W

    Raises:
        ConfigError: the network has no such part.

    Example:
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), pool, nn.Linear(8, 2))
        >>> find_scope(network, "head", image_size=16)
        Scope(frozen=('0.weight', '0.bias'), trained=('2.weight', '2.bias'), parts=('2',))
    """
    match scope:
        case "all":
            parts = [name for name, _ in network.named_children()]
            learning = {id(p) for p in network.parameters()}
        case "head":
            parts = [head.name for head in find_heads(trace(network, image_size))]
            learning = _parameters(network, parts)
        case "last-stage":
            parts = _last_stage(network, image_size)
            learning = _parameters(network, parts)
        case _:
            raise ConfigError(f"train: got '{scope}', expected all, last-stage or head")
    return Scope(
        frozen=tuple(name for name, p in network.named_parameters() if id(p) not in learning),
        trained=tuple(name for name, p in network.named_parameters() if id(p) in learning),
        parts=tuple(name for name in parts if _parameters(network, [name])),
    )


def apply_scope(network: nn.Module, scope: TrainScope, *, image_size: int) -> Scope:
    """Freeze what is not to learn (requires_grad False), free the rest; see `find_scope`.

    Follow it with `set_train_mode` before every training epoch: `network.train()` would let the statistics
    of frozen BatchNorm layers move.

    Example:
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> apply_scope(network, "head", image_size=32).trained
        ('head.weight', 'head.bias')
    """
    split = find_scope(network, scope, image_size=image_size)
    frozen = set(split.frozen)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return split


def set_train_mode(network: nn.Module, *, freeze_batchnorm: bool = False) -> None:
    """Put the network in train mode, and its frozen parts in eval mode.

    A part is frozen if it has parameters and none requires a gradient. A module without parameters (Dropout,
    BatchNorm without affine) goes with the part before it. So frozen BatchNorm keeps its statistics.

    Args:
        network: with part of it frozen, or nothing
        freeze_batchnorm: keep the statistics of all BatchNorm layers, those of learning parts as well: small
            batches estimate them badly, pretraining did it well. Their scale and shift still learn.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
        >>> _ = network[:2].requires_grad_(False)
        >>> set_train_mode(network)
        >>> [module.training for module in network]
        [False, False, False, True]
    """
    _set_modes(network)
    if freeze_batchnorm:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _set_modes(network: nn.Module) -> None:
    parameters = list(network.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        network.eval()
        return
    network.training = True
    children = list(network.children())
    # Before the first part with parameters there is nothing to go with but that part.
    learning = next((_learns(child) for child in children if _has_parameters(child)), True)
    for child in children:
        if _has_parameters(child):
            _set_modes(child)
            learning = _learns(child)
        else:
            child.train(learning)


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _learns(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())


def _parameters(network: nn.Module, parts: list[str]) -> set[int]:
    return {id(p) for part in parts for p in network.get_submodule(part).parameters()}


def _last_stage(network: nn.Module, image_size: int) -> list[str]:
    traced = trace(network, image_size)
    runs = traced.last_runs
    attending = {
        execution.name
        for execution in traced.executions
        if execution.attends and not any(is_inside(execution.name, pool) for pool in traced.pools)
    }
    mixing = [name for name, run in runs.items() if name in attending or _is_spatial_convolution(run)]
    if not mixing:
        raise ConfigError(
            "train: 'last-stage' needs attention, or a convolution larger than 1 x 1 that works on a map, "
            f"and this network has none for images of {image_size} pixels; use 'all' or 'head'"
        )
    order = {name: position for position, name in enumerate(runs)}
    units = sorted(_units("", network, runs, mixing), key=lambda unit: order[unit])
    last = max(i for i, unit in enumerate(units) if any(is_inside(name, unit) for name in mixing))
    if isinstance(runs[units[last]].module, nn.Conv2d):
        parent, grid = _parent(units[last]), runs[units[last]].grid
        while last and _parent(units[last - 1]) == parent and runs[units[last - 1]].grid == grid:
            last -= 1
    return units[last:]


def _units(prefix: str, module: nn.Module, runs: dict[str, Execution], mixing: list[str]) -> Iterator[str]:
    """Give the executed children of a module, those that hold several stages taken apart."""
    for child_name, child in module.named_children():
        name = f"{prefix}.{child_name}" if prefix else child_name
        if name in runs and not _holds_stages(runs[name], mixing):
            yield name
        else:  # a ModuleList never runs itself
            yield from _units(name, child, runs, mixing)


def _holds_stages(run: Execution, mixing: list[str]) -> bool:
    """Whether a module is a container of stages, and no stage itself.

    A stage lowers the resolution once, by 2, or not at all. A container lowers it further, or to no map at
    all; or it holds all layers that mix cells; or most of them, without lowering (a stack of equal blocks).
    """
    inside = sum(is_inside(name, run.name) and name != run.name for name in mixing)
    if not inside:
        return False
    shrinks = _shrinks(run)
    return shrinks > 2.5 or inside == len(mixing) or (shrinks < 1.5 and inside > len(mixing) / 2)


def _shrinks(run: Execution) -> float:
    """By how much a module lowers the resolution; infinitely, if it gives no map and no tokens."""
    if run.output is None and run.input is not None and len(run.input) == 3:
        return 1.0  # a block that hands on more than its tokens
    if run.view is None or run.input is None or run.output is None:
        return math.inf
    if len(run.input) == len(run.output) == 3:
        return math.sqrt(run.input[1] / run.output[1])
    # the third axis is a side of the map in either layout
    before = run.input[2] if len(run.input) == 4 else math.sqrt(run.input[1])
    return before / run.view.grid[0]


def _is_spatial_convolution(run: Execution) -> bool:
    return isinstance(run.module, nn.Conv2d) and max(run.module.kernel_size) > 1 and run.grid is not None


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
