"""What features depend on, as digests: of an image file, and of everything else."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

FEATURES_VERSION = 2
"""To be raised when the same file gives other features: decoding, resizing, mirroring, size of batches."""

_digests: dict[tuple[str, int, int], str] = {}


def digest_of_photo(path: Path) -> str:
    """Digest of the bytes of a file, 32 hexadecimal digits; read once as long as the file does not change.

    Raises:
        OSError: it cannot be read.
    """
    facts = path.stat()
    known = str(path.absolute()), facts.st_size, facts.st_mtime_ns
    if known not in _digests:
        with path.open("rb") as file:
            _digests[known] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return _digests[known]


def feature_key(
    network: nn.Module, units: Sequence[str], about: Mapping[str, Any], device: torch.device | str = "cpu"
) -> str:
    """Digest of all that features depend on beside the image, 32 hexadecimal digits.

    The weights and statistics of the units and whatever else is frozen, the modules between them, the source
    files of all modules, the version of torch, and the kind of device.

    Args:
        network: with part of it frozen
        units: names of the frozen modules
        about: what becomes of an image before: its size, its normalisation
        device: that they are computed on

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
        >>> _ = network[0].requires_grad_(False)
        >>> before = feature_key(network, ["0"], {"image size": 32})
        >>> _ = network[1].weight.data.fill_(0)  # learns: it changes no feature
        >>> before == feature_key(network, ["0"], {"image size": 32})
        True
        >>> _ = network[0].weight.data.fill_(0)
        >>> before == feature_key(network, ["0"], {"image size": 32})
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    versions = torch.__version__, FEATURES_VERSION
    digest.update(repr((*versions, torch.device(device).type, list(units), sorted(about.items()))).encode())
    files = set()
    for name, module in network.named_modules():
        try:
            files.add(inspect.getfile(type(module)))
        except (TypeError, OSError):  # typed into a notebook: `Features.check` is what remains
            digest.update(type(module).__qualname__.encode())
        # What comes between the units changes features as well. What learns does not.
        if not list(module.children()) and not any(p.requires_grad for p in module.parameters()):
            digest.update(f"{name}: {module!r}".encode())
    for file in sorted(files):
        digest.update(Path(file).read_bytes() if Path(file).is_file() else file.encode())
    modules = {unit: network.get_submodule(unit) for unit in units}
    state = {f"{unit}.{name}": t for unit, m in modules.items() for name, t in m.state_dict().items()}
    # A ViT's positions are frozen, and no module's that runs.
    state |= {name: p for name, p in network.named_parameters() if not p.requires_grad}
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
