"""Sending a pair through a network's own forward pass."""

from __future__ import annotations

from collections.abc import Callable
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.propagation.operations import METADATA, VIEWS, operation_name, run
from lookright.explainers.propagation.pair import Pair, Refused, Rules
from lookright.models.modes import evaluating


class Carrier(Tensor):
    """A tensor without values that carries a pair; each operation on it is passed by the rules.

    It is a tensor, so that any forward pass takes it: residual sums, functional calls, `isinstance` and
    shapes work as they do for the image. Nothing is hooked and nothing is traced.
    """

    pair: Pair
    rules: Rules
    shared: bool

    @staticmethod
    def __new__(cls, pair: Pair, rules: Rules, *, shared: bool = False) -> Carrier:  # noqa: D102
        part = pair.first
        carrier = Tensor._make_wrapper_subclass(cls, part.shape, dtype=part.dtype, device=part.device)
        carrier.pair, carrier.rules, carrier.shared = pair, rules, shared
        return carrier

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # as Tensor has it
        return f"{type(self).__name__}({self.pair!r})"

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = operation_name(func)
        if name in METADATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        in_place = bool(kwargs.pop("inplace", False))
        if name.endswith("_") and not name.endswith("__"):
            name, in_place = name[:-1], True
        carriers = [value for value in _flat((*args, *kwargs.values())) if isinstance(value, Carrier)]
        rules = carriers[0].rules
        try:
            output = run(rules, func, name, _unwrap(args), _unwrap(kwargs))
        except Refused as refusal:
            raise Refused(f"{name} {refusal}".strip()) from None
        if in_place:
            return _assign(args[0] if args else kwargs["input"], output, name)
        shared = name in VIEWS
        carriers[0].shared |= shared
        if isinstance(output, tuple):
            return tuple(Carrier(pair, rules, shared=shared) for pair in output)
        return carriers[0] if output is carriers[0].pair else Carrier(output, rules, shared=shared)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # Tensor's own is a function that is switched off
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # Reached only by what passes __torch_function__ by, such as scripted code.
        raise Refused(str(func))


def propagate(network: nn.Module, pair: Pair, rules: Rules) -> Pair:
    """Run the network on a pair, in evaluation mode: running statistics, no dropout.

    Args:
        network: image (B, C, H, W) -> logits (B, K)
        pair: of tensors shaped as the image
        rules: how a pair passes an operation

    Returns:
        the pair of the logits

    Raises:
        ConfigError: an operation that the rules do not cover; an output that is not (B, K).
    """
    with evaluating(network), torch.autocast(pair.first.device.type, enabled=False):
        try:
            logits = network(Carrier(pair, rules))
        except Refused as refusal:
            raise ConfigError(
                f"network: {rules.name} does not pass {_module_of(refusal, network)}{refusal}; it is defined "
                f"for {rules.supported}. Take such a network, or a method on Grad-CAM or input gradients"
            ) from None
    if not isinstance(logits, Carrier) or logits.ndim != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ConfigError(f"network: {rules.name} needs logits (B, K) computed from the image, got {got}")
    return logits.pair


def check_region(image: Tensor, region: Tensor) -> None:
    """Check that a region fits the images.

    Raises:
        ConfigError: it is not (B, 1, H, W) bool.
    """
    if image.ndim != 4:
        raise ConfigError(f"image: got shape {tuple(image.shape)}, need (B, C, H, W)")
    wanted = (image.shape[0], 1, *image.shape[2:])
    if region.dtype != torch.bool or region.shape != wanted:
        raise ConfigError(f"region: got {region.dtype} {tuple(region.shape)}, need torch.bool {wanted}")


def _assign(target: Any, output: Pair | tuple[Pair, ...], name: str) -> Carrier:
    if not isinstance(target, Carrier) or not isinstance(output, Pair):
        raise Refused(f"{name} in place, on a tensor that is not an activation")
    if target.shared:
        raise Refused(f"{name} in place, on a view of another activation")
    target.pair = output
    return target


def _flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _flat(item)] if isinstance(value, list | tuple) else [value]


def _unwrap(value: Any) -> Any:
    if isinstance(value, Carrier):
        return value.pair
    if isinstance(value, list | tuple):
        return type(value)(_unwrap(item) for item in value)
    return {key: _unwrap(item) for key, item in value.items()} if isinstance(value, dict) else value


def _module_of(error: Exception, network: nn.Module) -> str:
    """Name the innermost module that was running, as "module 'act' (SiLU): "; empty for the network"""
    names = {module: name for name, module in network.named_modules()}
    running = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    inside = [module for module in running if isinstance(module, nn.Module) and names.get(module)]
    return f"module '{names[inside[-1]]}' ({type(inside[-1]).__name__}): " if inside else ""
