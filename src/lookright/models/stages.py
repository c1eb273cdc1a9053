"""The stages of a network: where its maps change their resolution."""

from __future__ import annotations

from torch import nn

from lookright.models.trace import trace


def find_stages(network: nn.Module, *, image_size: int) -> tuple[str, ...]:
    """Name the module that gives the last map of each resolution, lowest stage first.

    Of modules that return the same tensor it is the outermost. A network on tokens has none beyond its patch
    embedding.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image_size: H and W

    Raises:
        ConfigError: the network fails on an image of this size.

    Example:
        >>> stem, stage = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        >>> layers = [stem, nn.ReLU(), nn.MaxPool2d(2), stage, nn.Flatten(), nn.Linear(64, 2)]
        >>> find_stages(nn.Sequential(*layers), image_size=8)
        ('1', '3')
    """
    last: dict[tuple[int, int], str] = {}
    for execution in trace(network, image_size).executions:
        if execution.name and execution.grid is not None:
            last.pop(execution.grid, None)
            last[execution.grid] = execution.name
    return tuple(last.values())
