"""Counterexamples: copies of images that lack what the decision must not rest on."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from lookright.errors import ConfigError
from lookright.types import Batch, Rows

Fill = Literal["uniform", "constant", "shuffle", "exchange"]


class Counterexamples:
    r"""Add copies of the images whose negative marks are random (CE in the XIL literature).

    Teso & Kersting, "Explanatory Interactive Machine Learning", AIES 2019 (CAIPI): what a person marks as
    irrelevant is replaced, the label stays, and training goes on with the copies. The copies have no
    annotation: they count in the prediction loss alone, as much as any other image. Where an image has
    annotations of several classes, pixels that any of them marks positive stay.

    Args:
        copies: of each image that has a negative mark
        fill: what its marked pixels become. uniform: each channel of each pixel drawn between the channel's
            extremes in the batch; constant: one such colour for all; shuffle: the marked pixels in another
            order, which changes nothing where they are of one colour; exchange: the pixels at the same place
            in another image of the batch with the same label, uniform if there is none

    Raises:
        ConfigError: fewer than one copy, another fill.

    Example:
        >>> marks = torch.tensor([[[[-1.0, 0.0]]]])
        >>> image = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
        >>> batch = Batch(image, torch.tensor([4]), marks, torch.tensor([True]), ("a.png",))
        >>> more = Counterexamples()(batch, torch.Generator().manual_seed(0))
        >>> more.label, more.annotated, bool((more.image[1, :, 0, 1] == 1).all())
        (tensor([4, 4]), tensor([ True, False]), True)
    """

    paper: ClassVar[str] = "CE: Teso & Kersting, AIES 2019"
    uses: ClassVar[str] = "negative"

    def __init__(self, copies: int = 1, fill: Fill = "uniform") -> None:
        if copies < 1:
            raise ConfigError(f"copies: got {copies}, need 1 or more")
        if fill not in get_args(Fill):
            raise ConfigError(f"fill: got '{fill}', choose one of {', '.join(get_args(Fill))}")
        self.copies = copies
        self.fill = fill

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Append the copies to a batch.

        Args:
            batch: on the CPU, as `collate` gives it
            generator: what the random values are drawn from

        Returns:
            the batch with its copies behind its own images, in their order; the same batch if no image has a
            negative mark
        """
        replaced = _replaced(batch)
        source = replaced.flatten(1).any(dim=1).nonzero()[:, 0].repeat(self.copies)
        if not len(source):
            return batch
        of = source.tolist()
        values = self._values(batch, source, replaced, generator)
        images = torch.where(replaced[source], values, batch.image[source])
        return Batch(
            image=torch.cat([batch.image, images]),
            label=torch.cat([batch.label, batch.label[source]]),
            annotation=torch.cat([batch.annotation, torch.zeros_like(replaced[source], dtype=torch.float32)]),
            annotated=torch.cat([batch.annotated, torch.zeros(len(source), dtype=torch.bool)]),
            id=(*batch.id, *(batch.id[i] for i in of)),
            mirrored=None if batch.mirrored is None else (*batch.mirrored, *(batch.mirrored[i] for i in of)),
            rows=None if batch.rows is None else _with_copies(batch.rows, source, len(batch.image)),
        )

    def _values(self, batch: Batch, source: Tensor, replaced: Tensor, generator: torch.Generator) -> Tensor:
        """What replaces the pixels of the copies, (N, 3, H, W), or (N, 3, 1, 1)."""
        channels = batch.image.transpose(0, 1).flatten(1)
        lowest, highest = channels.amin(dim=1).view(-1, 1, 1), channels.amax(dim=1).view(-1, 1, 1)
        size = (1, 1) if self.fill == "constant" else batch.image.shape[-2:]
        drawn = torch.rand(len(source), batch.image.shape[1], *size, generator=generator)
        values = lowest + (highest - lowest) * drawn
        if self.fill == "shuffle":
            for i, image in enumerate(source.tolist()):
                marked = replaced[image, 0]
                pixels = batch.image[image][:, marked]
                values[i][:, marked] = pixels[:, torch.randperm(pixels.shape[1], generator=generator)]
        elif self.fill == "exchange":
            for i, image in enumerate(source.tolist()):
                alike = (batch.label == batch.label[image]).view(len(batch.label), -1).all(dim=1)
                alike[image] = False
                if others := alike.nonzero()[:, 0].tolist():
                    pick = int(torch.randint(len(others), (), generator=generator))
                    values[i] = batch.image[others[pick]]
        return values


def generator_for(*, seed: int, epoch: int, step: int, rank: int = 0) -> torch.Generator:
    """Give the random numbers of one batch: they depend on nothing else, so a resumed run has the same.

    Args:
        seed: of the run
        epoch: counted from 0
        step: the batch within the epoch, counted from 0
        rank: of the process

    Example:
        >>> torch.rand(1, generator=generator_for(seed=0, epoch=1, step=2)) == torch.rand(
        ...     1, generator=generator_for(seed=0, epoch=1, step=2)
        ... )
        tensor([True])
    """
    state = np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def _replaced(batch: Batch) -> Tensor:
    """Pixels that are marked negative and nowhere positive, (B, 1, H, W) bool."""
    marks = batch.annotation * batch.annotated[:, None, None, None]
    if batch.rows is None:
        return marks < 0
    empty = marks.new_zeros(len(batch.image), *marks.shape[1:])
    negative, positive = (
        empty.index_add(0, batch.rows.image, sign.to(marks.dtype)) > 0 for sign in (marks < 0, marks > 0)
    )
    return negative & ~positive


def _with_copies(rows: Rows, source: Tensor, images: int) -> Rows:
    """Give each copy one row, of its image's first class: every image has one."""
    first = [int((rows.image == i).nonzero()[0, 0]) for i in source.tolist()]
    copies = torch.arange(images, images + len(source))
    return Rows(torch.cat([rows.image, copies]), torch.cat([rows.label, rows.label[first]]))
