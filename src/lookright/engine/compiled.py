"""The part of a network below the target layer, compiled: what lies above it is differentiated twice.

A compiled region has no double backward. Gradients of the score end at the target layer, so what runs before
it is differentiated once, like all of a plain network.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch._functorch.config
from torch import fx, nn

from lookright.errors import LookrightWarning
from lookright.explainers import Explainer
from lookright.models import trace

log = logging.getLogger("lookright")

Backend = Callable[[fx.GraphModule, list[Any]], Callable[..., Any]]

_VARIANTS = 64
"""How many compiled variants are kept: blocks of one shape share theirs, times modes and batch sizes."""


def compile_trunk(
    network: nn.Module,
    explainers: Iterable[Explainer],
    *,
    image_size: int,
    served: Sequence[str] = (),
    backend: str | Backend = "inductor",
) -> list[str]:
    """Compile, in place, what leads to the layers that explainers look at.

    Names, weights and `state_dict` stay; gradients stay up to rounding. Compilation itself happens in the
    first steps: for training and for evaluation, once for each size of batches. (Code for any size is slower,
    and takes the compiler several times as long.) Hooks that are put later on a module inside a compiled one
    may not be called, so what traces a network has to come before. Where nothing can be compiled, or the
    compiler fails, the network runs as it would have, and one warning says why.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        explainers: all that look at it
        image_size: H and W
        served: modules that do not run since their features are cached; nothing to compile there
        backend: of `torch.compile`, by its name or as a function

    Returns:
        names of the compiled modules, in the order in which they run

    Example:
        >>> from lookright.explainers import GradCAM
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> explainer = GradCAM(network, image_size=32)
        >>> explainer.layer_names, compile_trunk(network, [explainer], image_size=32, backend="eager")
        (('features',), ['features.0', 'features.1', 'features.2'])
    """
    explainers = list(explainers)
    for explainer in explainers:
        if explainer.needs.whole_network:
            _warn(f"{type(explainer).__name__} looks at all of the network, and needs it uncompiled")
            return []
    layers = {name for explainer in explainers for name in explainer.layer_names}
    found = units_below(network, layers, image_size=image_size)
    units = [name for name in found if not any(name == s or name.startswith(s + ".") for s in served)]
    if not units:
        if found:
            log.info("nothing to compile: the features of what lies below the target layer are cached")
        else:
            _warn(f"no module of several layers leads to {', '.join(sorted(layers)) or 'the logits'}")
        return []
    # Gradients are measured before they are taken (weights by gradient ratio, the guard): the graph has to
    # stay, and buffers that a backward pass may overwrite would not. PyTorch has this for the process only.
    torch._functorch.config.donated_buffer = False
    options: dict[str, Any] = {"backend": _Fallback(backend), "dynamic": False}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:  # not in older torch
        options["recompile_limit"] = _VARIANTS
    try:
        for name in units:
            network.get_submodule(name).compile(**options)
    except RuntimeError as error:  # no torch.compile for this Python or this system
        _warn(_first_line(error))
        return []
    return units


def units_below(network: nn.Module, layers: Iterable[str], *, image_size: int) -> list[str]:
    """Find the outermost modules of several layers that have run when the first of the given ones returns.

    What has run by then cannot depend on what that layer gives, so no gradient of a score that stops there
    passes through it. Modules inside the layer are among them.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        layers: names of modules of it; with none, all of the network may come
        image_size: H and W

    Example:
        >>> block = [nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()) for _ in range(3)]
        >>> network = nn.Sequential(*block, nn.Flatten(), nn.Linear(48, 2))
        >>> units_below(network, ["2.0"], image_size=10)
        ['0', '1']
    """
    executions = trace(network, image_size).executions
    position = {execution.name: i for i, execution in enumerate(executions)}
    runs = [execution.name for execution in executions]
    end = min((position[layer] for layer in layers if layer in position), default=len(runs))

    def search(prefix: str, module: nn.Module) -> Iterator[str]:
        for child_name, child in module.named_children():
            name = f"{prefix}.{child_name}" if prefix else child_name
            if not any(True for _ in child.children()):  # one layer alone has nothing to be fused with
                continue
            inside = [position[part] for part in position if part == name or part.startswith(name + ".")]
            if name in position and runs.count(name) == 1 and max(inside) < end:
                yield name
            else:
                yield from search(name, child)

    return sorted(search("", network), key=lambda name: position[name])


class _Fallback:
    """A backend that gives up, once and for all, where the real one fails."""

    def __init__(self, backend: str | Backend) -> None:
        self.backend = backend
        self.failed = False

    def __call__(self, graph: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        from torch._dynamo import lookup_backend  # slow to import

        if self.failed:
            return graph.forward
        try:
            backend = lookup_backend(self.backend) if isinstance(self.backend, str) else self.backend
            compiled: Callable[..., Any] = backend(graph, inputs)
            return compiled
        except Exception as error:  # whatever a compiler does
            self.failed = True
            _warn(_first_line(error))
            return graph.forward


def _warn(why: str) -> None:
    message = f"compile: {why}; the run goes on without, at the usual speed"
    warnings.warn(message, LookrightWarning, stacklevel=3)


def _first_line(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0].rstrip(".")
    return f"torch.compile failed ({type(error).__name__}: {first}); it needs a C++ compiler, such as g++"
