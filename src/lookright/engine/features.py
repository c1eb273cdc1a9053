"""Features of the frozen part of a network, kept so that they are computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Key = tuple[str, bool]
"""id of an image, and whether it is mirrored"""


class Features:
    """What the frozen part of a network gives for each image, as it is and mirrored: rows of one table.

    Example:
        >>> features = Features()
        >>> features.add([("a.png", False), ("a.png", True)], torch.tensor([[1.0], [2.0]]))
        >>> ("a.png", True) in features, features.missing([("a.png", True), ("b.png", False)])
        (True, [('b.png', False)])
        >>> features.gather([("a.png", True), ("a.png", False)])
        tensor([[2.],
                [1.]])
    """

    def __init__(self) -> None:
        self._row: dict[Key, int] = {}
        self._parts: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, key: Key) -> bool:
        return key in self._row

    @property
    def nbytes(self) -> int:
        """Size of all of them."""
        return sum(part.nbytes for part in self._parts)

    def missing(self, keys: Sequence[Key]) -> list[Key]:
        """Which of the keys are not there yet, in their order."""
        return [key for key in keys if key not in self._row]

    def add(self, keys: Sequence[Key], features: Tensor) -> None:
        """Take in the features of images that are not there yet.

        Args:
            keys: B images
            features: (B, ...), of one shape in all calls
        """
        start = len(self._row)
        self._row |= {key: start + i for i, key in enumerate(keys)}
        self._parts.append(features)

    def gather(self, keys: Sequence[Key]) -> Tensor:
        """Give the features of images, (B, ...).

        Raises:
            KeyError: one of them is not there.
        """
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        (table,) = self._parts
        return table[torch.tensor([self._row[key] for key in keys], device=table.device)]

    def clear(self) -> None:
        """Forget all of them."""
        self._row.clear()
        self._parts.clear()


class FeatureStore:
    """Features that several runs of one process share: compared methods need not compute them again.

    They are shared where frozen weights, images and their normalisation are the same.
    """

    def __init__(self) -> None:
        self._features: dict[str, Features] = {}

    def features(self, network: nn.Module, units: Sequence[str], about: str) -> Features:
        """Features of the frozen units of a network, to be added to.

        Args:
            network: whose units
            units: names of modules
            about: what else they depend on: where the images are, their size, their normalisation
        """
        digest = hashlib.sha256(about.encode())
        for unit in units:
            for name, tensor in network.get_submodule(unit).state_dict().items():
                digest.update(f"{unit}.{name}".encode())
                digest.update(tensor.detach().cpu().numpy().tobytes())
        return self._features.setdefault(digest.hexdigest(), Features())
