"""The layer that is explained: found by itself or named, and checked."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.ops import Permute

from lookright.errors import ConfigError
from lookright.models.maps import Layout, to_map
from lookright.models.reach import Reach
from lookright.models.trace import Execution, Trace, trace
from lookright.models.views import View

_PASSES_ON = (nn.Identity, nn.Dropout, nn.Dropout2d, Permute)
_POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


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
    layout: Layout = Layout.CHANNELS_FIRST
    """the order of the axes of what it gives"""
    prefix: int = 0
    """class, distillation and register tokens before those of the patches"""

    def to_map(self, tensor: Tensor) -> Tensor:
        """See what the layer gives, or the gradient there, as a map (B, C, h, w); see `maps.to_map`."""
        return to_map(tensor, self.layout, self.grid, self.prefix)


def find_target_layer(network: nn.Module, *, image_size: int, name: str | None = None) -> TargetLayer:
    """Find the layer to explain: the last map that leads to the logits, or the module that is named.

    By itself: the last module executed before the head that gives a map (B, C, h, w) or (B, h, w, C) with
    h, w > 1, or the tokens (B, N, C) of one, and has a gradient of the logits that is not zero in all of its
    cells. So in a ViT with a class token it is the last module whose patch tokens still reach that token:
    the norm before the last attention. Passed over are

    - average pooling, Identity, Dropout, and torchvision's Permute;
    - a module's runs but the last (one ReLU for all), since it is the last that is explained;
    - tokens of another width than those that the block takes and gives (queries, hidden units);
    - tokens inside an attention pooling, a module with the smaller part of the weights that takes a map or
      tokens and gives none.

    Of several modules that return the same tensor it is the outermost below the network itself (`layer4` of
    a ResNet, not its last ReLU). `lookright.models.views` tells how layouts are recognised, and
    `lookright.models.reach` how the gradient is taken; the network comes back as it was.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image_size: H and W, which the grid depends on
        name: as in `network.named_modules()`

    Raises:
        ConfigError: no such module, it did not run, it gives no map or tokens of one, the logits do not
            depend on it, or their gradient is zero in all cells.

    Example:
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), pool, nn.Linear(8, 2))
        >>> layer = find_target_layer(network, image_size=16)
        >>> layer.name, layer.channels, layer.grid
        ('0', 8, (14, 14))
    """
    traced = trace(network, image_size)
    candidates = list(_candidates(traced))
    if name is not None:
        return _named(network, traced, candidates, name)
    if not candidates:
        raise ConfigError(
            "target_layer: no module of this network gives a map (B, C, h, w) or (B, h, w, C) with more than "
            f"one cell, or the tokens (B, N, C) of one, for an image of {image_size} pixels; use another "
            "network ('lookright backbones'), or larger images"
        )
    reach = Reach(network, {e.name: e.module for e in candidates}, image_size)
    for execution in candidates:
        if execution.view is not None and _fault(execution.name, execution.view, reach) is None:
            return _target(execution, execution.view, image_size)
    raise ConfigError(
        f"target_layer: the logits depend on none of the maps in this network ('{candidates[0].name}', say): "
        "it computes without gradients, detaches them, or multiplies by zeros that do not learn; an "
        "explanation needs a path from a map to the logits"
    )


def _named(network: nn.Module, traced: Trace, candidates: list[Execution], name: str) -> TargetLayer:
    names = [known for known, _ in network.named_modules() if known]
    if name in names and (execution := traced.last_runs.get(name)) is not None:
        layers = {e.name: e.module for e in candidates} | {name: execution.module}
        reach = Reach(network, layers, traced.image_size)
        if execution.view is None:
            got = execution.output or "something that is not one tensor"
            reason = (
                f"'{name}' gives {got} for an image of {traced.image_size} pixels, not a map "
                "(B, C, h, w) or (B, h, w, C) with more than one cell, nor the tokens (B, N, C) of one; "
                "use larger images, or "
            )
        elif (fault := _fault(name, execution.view, reach)) is not None:
            reason = f"{fault}; "
        else:
            return _target(execution, execution.view, traced.image_size)
    else:
        reach = Reach(network, {e.name: e.module for e in candidates}, traced.image_size)
        close = difflib.get_close_matches(name, names, n=3)
        near = f"close: {', '.join(close)}; " if close else ""
        reason = (
            f"'{name}' does not run in the forward pass; "
            if name in names
            else f"the network has no '{name}'; {near}"
        )
    raise ConfigError(f"target_layer: {reason}name one of {_offer(candidates, reach)}")


def _target(execution: Execution, view: View, image_size: int) -> TargetLayer:
    return TargetLayer(
        name=execution.name,
        module=execution.module,
        channels=view.channels,
        grid=view.grid,
        stride=max(1, round(image_size / view.grid[0])),
        layout=view.layout,
        prefix=view.prefix,
    )


def _fault(name: str, view: View, reach: Reach) -> str | None:
    """Say why a layer cannot be explained: no gradient, or none in any cell."""
    gradient = reach.gradient(name)
    if gradient is None:
        return f"the logits do not depend on '{name}': nothing leads on from it, or it is detached"
    cells = to_map(gradient, view.layout, view.grid, view.prefix)
    if cells.is_meta or cells.any():
        return None
    fault = f"the gradient of the logits at '{name}' is zero in all {math.prod(view.grid)} cells"
    return f"{fault}: they depend on its other tokens alone" if gradient.any() else fault


def _candidates(traced: Trace) -> Iterator[Execution]:
    """Give the modules that make a map or its tokens, the last first, one per tensor."""
    heads = traced.heads
    before = traced.executions[: traced.executions.index(heads[0])] if heads else traced.executions
    runs = traced.last_runs
    pools = traced.pools
    groups: dict[int, list[Execution]] = {}
    last: dict[int, int] = {}
    for position, execution in enumerate(before):
        is_last = execution.name != "" and runs[execution.name] is execution
        if is_last and execution.tensor is not None and execution.view is not None:
            groups.setdefault(execution.tensor, []).append(execution)
            last[execution.tensor] = position
    for tensor in sorted(groups, key=last.__getitem__, reverse=True):
        group = groups[tensor]
        if isinstance(group[0].module, _POOLS):  # whoever hands the pooled tensor on is passed over too
            continue
        makers = [execution for execution in group if not isinstance(execution.module, _PASSES_ON)]
        if makers and not _is_inner(makers[-1], runs, pools):
            yield makers[-1]  # an outer module returns after its inner ones


def _is_inner(execution: Execution, runs: dict[str, Execution], pools: frozenset[str]) -> bool:
    """Whether tokens are queries, hidden units, or inside an attention pooling."""
    if execution.view is None or execution.view.layout is not Layout.TOKENS:
        return False
    parents = list(_parents(execution.name))
    if pools.intersection(parents):
        return True
    for parent in parents:
        if parent in runs:
            shapes = [s for s in (runs[parent].input, runs[parent].output) if s is not None and len(s) == 3]
            if shapes:
                return execution.view.channels not in [shape[2] for shape in shapes]
    return False


def _parents(name: str) -> Iterator[str]:
    """Give the names of the modules around one, the innermost first, the network itself left out."""
    while name := name.rpartition(".")[0]:
        yield name


def _offer(candidates: list[Execution], reach: Reach) -> str:
    """Name layers that can be explained: the one that is found by itself, then outer ones."""

    def leads(execution: Execution) -> bool:
        return execution.view is not None and _fault(execution.name, execution.view, reach) is None

    outer_first = sorted(candidates, key=lambda e: e.name.count("."))
    default = next(filter(leads, candidates), None)
    if default is None:
        return "(it has no map that leads to the logits)"
    others = (e.name for e in outer_first if e is not default and leads(e))
    return ", ".join([default.name, *itertools.islice(others, 4)])
