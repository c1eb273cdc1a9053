"""Features of the frozen part as rows of cells, so that heads are applied by one product of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lookright.engine.features import Key
from lookright.engine.trunk import FrozenTrunk
from lookright.explainers.capture import capture
from lookright.models.layers import TargetLayer
from lookright.models.modes import evaluating
from lookright.types import Batch

_TOGETHER = 64
"""How many images are brought into this layout at a time."""


class Cells:
    """What the target layer gives for the images of a group of runs, (N, h w, C).

    Kept in memory where that has room; otherwise brought into this layout batch by batch.

    Args:
        trunk: filled with the features of all the images
        layer: the target layer, to which nothing that learns leads
        keys: all the images
    """

    def __init__(self, trunk: FrozenTrunk, layer: TargetLayer, keys: Sequence[Key]) -> None:
        self._trunk, self._layer = trunk, layer
        self._number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        first = self._arranged(keys[:1])
        self._table: Tensor | None = None
        self._buffers: dict[int, Tensor] = {}
        if first.nbytes * len(self._number) <= trunk.limit_bytes:
            unique = list(self._number)
            self._table = first.new_empty(len(unique), *first.shape[1:])
            for start in range(0, len(unique), _TOGETHER):
                part = unique[start : start + _TOGETHER]
                self._table[start : start + len(part)] = self._arranged(part)

    def take(self, keys: Sequence[Key]) -> Tensor:
        """Give some images, (B, h w, C), in memory that the next call for as many uses again.

        Fresh memory for so much in every step would cost several times what copying does. The graph of the
        step before must be gone.

        Args:
            keys: of the images
        """
        if self._table is None:
            return self._arranged(keys)
        if len(keys) not in self._buffers:
            self._buffers[len(keys)] = self._table.new_empty(len(keys), *self._table.shape[1:])
        numbers = torch.tensor([self._number[key] for key in keys], device=self._table.device)
        return torch.index_select(self._table, 0, numbers, out=self._buffers[len(keys)])

    def _arranged(self, keys: Sequence[Key]) -> Tensor:
        """Let the network go on from the features to the target layer."""
        side, nothing = self._trunk.image_size, torch.zeros(0)
        device = next(self._trunk.network.parameters()).device
        batch = Batch(
            image=torch.full((1, 1, 1, 1), torch.nan, device=device).expand(len(keys), 3, side, side),
            label=nothing,
            annotation=nothing,
            annotated=nothing,
            id=tuple(name for name, _ in keys),
            mirrored=tuple(mirrored for _, mirrored in keys),
            pixels=no_image,
        )
        network, layers = self._trunk.network, {self._layer.name: self._layer.module}
        with evaluating(network), torch.no_grad(), self._trunk.serving(batch), capture(layers) as captured:
            network(batch.image)
        maps = self._layer.to_map(captured[self._layer.name])
        return maps.detach().flatten(2).transpose(1, 2).contiguous()


class LooksAtImageError(Exception):
    """Somebody looks at the pixels."""


def no_image() -> Tensor:
    """Stand in for the pixels of a batch."""
    raise LooksAtImageError
