"""Isolated views: training images of which only what may be looked at is left, on another ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lookright.errors import ConfigError

_STREAM = 1
"""Beside what mirrors images, which draws from (seed, epoch, index)."""


class Isolation:
    r"""Show an image without what lies outside its annotation, now and then: lookright's own method.

        x' = x inside,   x' = g outside;   with probability `share`, anew in every epoch
        g: the mean colour, or (in a share `lend` of the images) what lies outside in another one

    The label stays, so what lies outside tells nothing of the class in these views. That is done to pixels:
    a penalty on the evidence outside sees the cells of the map, and a cell inside has seen its surroundings
    (receptive fields are large). Other views stay as they are, for the network has to work on whole images.
    Outside are the negative marks; in an image without any, all that is not marked positive. Negative marks
    that were derived from positive ones (`--negatives-outside`) are no marks here. An image that was not
    annotated, or has nothing outside, is always shown as it is, and lends nothing.

    Each image has one such view in a run: who lends to it is drawn once, of any class. Where the other image
    has something inside, the mean colour of its outside is lent. An image counts once per epoch: a step costs
    no further pass.

    Objects alone and on exchanged backgrounds show what a network takes from the background in Xiao et al.,
    "Noise or Signal", ICLR 2021; `Counterexamples` (CE) adds copies to the batches and fills with random
    colours; `exchange` changes features, where it is too late for what their receptive fields have seen.

    Args:
        share: how often an annotated image is shown so, in (0, 1]
        lend: share of the images that get another one's outside, in [0, 1]

    Raises:
        ConfigError: an option out of its range.

    Example:
        >>> isolation = Isolation(share=0.5)
        >>> sum(isolation.draw(seed=0, epoch=0, index=i) for i in range(1000))
        476
    """

    paper: ClassVar[str] = "lookright"
    uses: ClassVar[str] = "negative, else positive"

    def __init__(self, share: float = 0.5, lend: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise ConfigError(f"share: got {share}, need a number in (0, 1]")
        if not 0 <= lend <= 1:
            raise ConfigError(f"lend: got {lend}, need a number in [0, 1]")
        self.share, self.lend = share, lend

    def draw(self, *, seed: int, epoch: int, index: int) -> bool:
        """Decide whether an image is isolated; it depends on nothing else than these.

        Args:
            seed: of the run
            epoch: counted from 0
            index: of the image in its data set
        """
        drawn = np.random.SeedSequence([seed, epoch, index, _STREAM]).generate_state(1)[0]
        return bool(drawn < self.share * 2**32)

    def lender(self, *, seed: int, index: int, annotated: Sequence[int]) -> int | None:
        """Say which image lends what lies outside to another; None if that becomes the mean colour.

        Args:
            seed: of the run
            index: of the image that is isolated
            annotated: images that may lend
        """
        lent, which = np.random.SeedSequence([seed, index, _STREAM]).generate_state(2)
        others = len(annotated) - (index in annotated)
        if lent >= self.lend * 2**32 or others < 1:
            return None
        found = annotated[int(which) % len(annotated)]
        return found if found != index else annotated[(annotated.index(index) + 1) % len(annotated)]
