"""Which frozen modules of a network need to run only once per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from lookright.models import trace


def frozen_units(network: nn.Module, layers: Sequence[str] = (), *, image_size: int) -> list[str]:
    """Find the frozen modules that run before anything that learns, outermost ones, in order.

    None of them lies above one of the layers that are looked at or holds it inside: those have to run. If
    the lowest of these is itself frozen, it is the last.

    Args:
        network: with part of it frozen
        layers: names of the layers that explainers look at
        image_size: H and W

    Example:
        >>> layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(72, 2)]
        >>> network = nn.Sequential(*layers)
        >>> _ = network[:2].requires_grad_(False)
        >>> frozen_units(network, ["2"], image_size=10)
        ['0']
    """
    executions = trace(network, image_size).executions
    position = {execution.name: i for i, execution in enumerate(executions)}
    outputs = {execution.name: execution.output for execution in executions}
    runs = [execution.name for execution in executions]
    learning = [
        position[name]
        for name, module in network.named_modules()
        if name in position and any(p.requires_grad for p in module.parameters(recurse=False))
    ]
    end = min([*learning, *(position[layer] + 1 for layer in layers)], default=len(executions))

    def search(prefix: str, module: nn.Module) -> Iterator[str]:
        for child_name, child in module.named_children():
            name = f"{prefix}.{child_name}" if prefix else child_name
            parameters = list(child.parameters())
            if not parameters:
                continue
            frozen = not any(p.requires_grad for p in parameters)
            holds = any(layer.startswith(name + ".") for layer in layers)
            if frozen and name in position and not holds:
                yield name
            else:
                yield from search(name, child)

    units = sorted((name for name in search("", network) if position[name] < end), key=lambda n: position[n])
    once = all(runs.count(name) == 1 for name in units)
    return units if units and once and outputs[units[-1]] is not None else []
