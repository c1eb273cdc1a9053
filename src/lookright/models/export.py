"""Hand a trained network on: as a plain state dict, or as ONNX. Neither needs lookright."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.files import replacing
from lookright.models.modes import evaluating


class Normalized(nn.Module):
    """A network with its input normalisation in front: image in [0, 1] -> logits.

    Example:
        >>> Normalized(nn.Identity(), mean=(0.5,), std=(0.25,))(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, K)."""
        logits: Tensor = self.network((image - self.mean) / self.std)
        return logits


def export_state_dict(network: nn.Module, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the weights as safetensors, under the names that timm, torchvision or your own class gives them.

    The file appears whole or not at all.

    Raises:
        ConfigError: the file exists and `overwrite` is False.
        DataError: it cannot be written.

    Example:
        >>> import tempfile
        >>> from lookright.models import read_weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(read_weights(export_state_dict(nn.Linear(3, 2), Path(folder, "linear.safetensors"))))
        ['bias', 'weight']
    """
    _keep_existing(Path(path), overwrite)
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in network.state_dict().items()}
    with replacing(Path(path)) as temporary:
        save_file(tensors, temporary)
    return Path(path)


def export_onnx(
    network: nn.Module,
    image_size: int,
    path: str | Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the network in eval mode as one ONNX file: `image` (batch, 3, H, W) -> `logits` (batch, K).

    The batch size is free, H and W are fixed. With `mean` and `std` the normalisation is part of the file and
    the input is an RGB image in [0, 1]; without them the input is normalised already. The network's modes
    come back as they were.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image_size: H and W
        path: what to write
        mean: per channel, of images in [0, 1]
        std: per channel
        overwrite: replace an existing file

    Raises:
        ConfigError: the extra 'onnx' is not installed; the network cannot be exported; the file exists and
            `overwrite` is False.
        DataError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "network.onnx")
        ...     file.touch()
        ...     export_onnx(nn.Flatten(), 32, file, mean=[0.5] * 3, std=[0.5] * 3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        lookright.errors.ConfigError: ...network.onnx: exists already; give another name, or overwrite=True
    """
    _keep_existing(Path(path), overwrite)
    absent = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"export to ONNX needs {' and '.join(absent)}: pip install 'lookright[onnx]'")
    if (mean is None) != (std is None):
        raise ConfigError("mean and std: give both, to make the normalisation part of the file, or neither")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    exported = network if mean is None or std is None else Normalized(network, mean, std).to(device)
    with replacing(Path(path)) as temporary:
        try:
            with evaluating(exported):
                program = torch.onnx.export(
                    exported,
                    # two images: a batch of one would be taken for a constant
                    (torch.zeros(2, 3, image_size, image_size, device=device),),
                    input_names=["image"],
                    output_names=["logits"],
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                    dynamo=True,
                    verbose=False,
                )
        except Exception as error:  # whatever the network does that ONNX has no word for
            first = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"the network cannot be exported to ONNX ({type(error).__name__}: {first})"
            ) from error
        if program is None:
            raise ConfigError("the network cannot be exported to ONNX: torch gave no program")
        program.save(str(temporary), external_data=False)
    return Path(path)


def _keep_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: exists already; give another name, or overwrite=True")
