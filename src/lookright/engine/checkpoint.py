"""Checkpoints as one safetensors file: tensors, and everything else as JSON in its header.

Nothing is ever unpickled, and a file is either the old one or the whole new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lookright.errors import CheckpointError
from lookright.files import replacing

KEY = "lookright"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts, whole or not at all.

    Args:
        path: file to write or replace
        tensors: name -> tensor, brought to the CPU
        facts: anything that JSON can hold

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata={KEY: json.dumps(dict(facts))})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of lookright's.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "last.safetensors"
        >>> save_checkpoint(file, {"w": torch.ones(2)}, {"epoch": 3})
        >>> load_checkpoint(file)
        ({'w': tensor([1., 1.])}, {'epoch': 3})
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; train the run first, or resume it")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        facts = json.loads(metadata[KEY])
        if not isinstance(facts, dict):
            raise ValueError("its facts are no object")
    except KeyError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of a lookright run; load bare weights with --from {path}"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it and train the run again") from error
    return tensors, facts


def fact(facts: Mapping[str, Any], name: str, path: Path, *kinds: type) -> Any:
    """Give a fact of a checkpoint.

    Args:
        facts: as `load_checkpoint` gives them
        name: of the fact
        path: of the checkpoint, for the message
        kinds: which types it may have

    Raises:
        CheckpointError: it is not there, or of another type.

    Example:
        >>> fact({"classes": ["a", "b"]}, "classes", Path("best.safetensors"), list)
        ['a', 'b']
    """
    if name not in facts or not isinstance(facts[name], kinds):
        told = f"says {facts[name]!r} for" if name in facts else "does not say"
        raise CheckpointError(f"{path}: damaged ({told} '{name}'); delete it and train the run again")
    return facts[name]


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put `prefix/` before every name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def stripped(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors under `prefix/`, without it."""
    return {
        name.removeprefix(f"{prefix}/"): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}/")
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the state of an optimizer: 'index/entry' -> tensor."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}/{entry}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, entries in state.items()
        for entry, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; the parameter groups stay as they are made.

    Raises:
        CheckpointError: the state is of another set of parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    count = len(parameters)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, entry = name.split("/", 1)
        if int(index) < count and tensor.shape == parameters[int(index)].shape:
            # In the order of the weight in memory: the fused kernels read both from one end to the other.
            tensor = torch.empty_like(parameters[int(index)], dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[entry] = tensor
    if state and max(state) >= count:
        raise CheckpointError(
            f"the checkpoint holds the optimizer of {max(state) + 1} parameters, the model trains {count}; "
            "resume with the options of the run"
        )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
