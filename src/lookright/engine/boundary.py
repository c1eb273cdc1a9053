"""Where the part of a network that learns begins: the maps below it, which stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lookright.config import TrainScope
from lookright.errors import ConfigError
from lookright.models.scope import find_scope
from lookright.models.trace import is_inside, trace
from lookright.models.views import View


@dataclass(frozen=True)
class Boundary:
    """The highest map below the part that learns."""

    layer: str
    view: View


def find_boundary(network: nn.Module, scope: TrainScope, *, image_size: int) -> Boundary:
    """Find the layer that gives the highest maps below the part that learns.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        scope: what learns; `all` is taken for `last-stage`, as pixels of two photos make no photo
        image_size: H and W

    Raises:
        ConfigError: there is no map below.

    Example:
        >>> from lookright.models import create
        >>> network = create("resnet18", num_classes=2, image_size=64).network
        >>> [find_boundary(network, scope, image_size=64).layer for scope in ("last-stage", "head")]
        ['layer3', 'layer4']
    """
    parts = find_scope(network, "head" if scope == "head" else "last-stage", image_size=image_size).parts
    executions = trace(network, image_size).executions
    learning = (i for i, e in enumerate(executions) if any(is_inside(e.name, part) for part in parts))
    below = executions[: next(learning)]
    names = [execution.name for execution in executions]
    for execution in reversed(below):
        if execution.view is not None and execution.name and names.count(execution.name) == 1:
            return Boundary(execution.name, execution.view)
    raise ConfigError(
        f"method: exchange and complete work on the maps below what learns, and below {parts[0]} there are "
        "none; use another method"
    )
