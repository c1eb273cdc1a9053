"""Annotations are completed from frozen features: in images that have none, and where they are incomplete."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookright.errors import ConfigError

Cells = NDArray[np.float64]

CELLS = 20_000
"""As many cells are learned from at most, drawn at random: more tell a linear model nothing new."""
_STRENGTH = 0.01  # C of scikit-learn: chosen on training photos of gender_coco and pets_catdog
_SMALLEST_SD = 1e-6
_SMALLEST_SHARE = 0.25  # of a cell that is marked, as `lookright.resize` counts it
_TOGETHER = 64  # images at a time


@dataclass(frozen=True)
class Completed:
    """What the features say of annotations."""

    region: Tensor
    """(N, h, w) in [0, 1]: how likely each cell belongs to the evidence"""
    drawn: float
    """c, in (0, 1]: what share of the evidence people have marked, as far as the features can tell"""
    auroc: float
    """how well marked cells are told from others in images that were not learned from; 0.5 is by chance"""


class Completion:
    r"""Complete annotations by what the marked cells look like: lookright's own method.

        p = sigma(w . x + b)        logistic regression: is this cell marked? s: share of it that is
        c = sum s p / sum s         over annotated images, p of a model that has not learned from them
        region = min(p / c, 1)

    x are the features of a cell below the part that learns. They are computed once, before training: the
    completed annotation does not change and cannot chase the explanation, as a learned imputer of RES-L can.

    People mark some of the evidence: what is unmarked may be evidence too. Learning from positive and
    unlabelled examples (Elkan & Noto, KDD 2008): if marked cells are a random part of the evidence, the
    probability to be marked is c times that to be evidence, and c is its mean over the marked cells (too low
    where some of the evidence looks like the rest). What is told of an annotated image comes from a model
    that has not seen it (cross-validation over images).

    * An image without an annotation gets one: positive where the region is above `threshold`.
    * An annotated image keeps its marks. Where c is below `complete_below`, so that much seems undrawn, its
      unmarked cells are completed likewise.
    * An image that was annotated with no positive mark, and cells that are marked negative, stay so.

    Nothing is completed, and a warning says so, if marked cells cannot be told from others (AUROC below
    `reliable`).

    Args:
        threshold: of the region, in (0, 1): above it a cell is evidence
        complete_below: c below which annotated images are completed too, in [0, 1]; 0: never
        reliable: AUROC that is needed, in [0.5, 1]
        folds: of cross-validation, 2 or more

    Raises:
        ConfigError: an option out of its range.

    Example:
        >>> features = torch.zeros(400, 1, 2, 2)
        >>> features[:, :, 0] = 1  # the upper cells are bright ...
        >>> share = torch.cat([features[:200], torch.zeros(200, 1, 2, 2)])  # ... and marked in half of them
        >>> marked = torch.arange(400) < 200
        >>> Completion()(features, share, marked).region[300] > 0.5
        tensor([[ True,  True],
                [False, False]])
    """

    paper: ClassVar[str] = "lookright"
    uses: ClassVar[str] = "positive"

    def __init__(
        self,
        threshold: float = 0.5,
        complete_below: float = 0.5,
        reliable: float = 0.7,
        folds: int = 4,
    ) -> None:
        if not 0 < threshold < 1:
            raise ConfigError(f"threshold: got {threshold}, need a number in (0, 1)")
        for name, value, low in (("complete_below", complete_below, 0), ("reliable", reliable, 0.5)):
            if not low <= value <= 1:
                raise ConfigError(f"{name}: got {value}, need a number in [{low}, 1]")
        if folds < 2:
            raise ConfigError(f"folds: got {folds}, need 2 or more")
        self.threshold, self.complete_below = threshold, complete_below
        self.reliable, self.folds = reliable, folds

    def __call__(
        self, features: Tensor, share: Tensor, marked: Tensor, mirrored: Tensor | None = None
    ) -> Completed:
        """Learn what marked cells look like, and say of every cell whether it does.

        Args:
            features: (N, C, h, w)
            share: (N, 1, h, w) in [0, 1], how much of each cell is marked positive
            marked: (N,) bool, images with a positive mark, two or more
            mirrored: (N, C, h, w), of the mirrored images; regions are then the mean of both
        """
        views = [_View.of(features)]
        if mirrored is not None:
            views.append(_View.of(mirrored, mirrored=True))
        learned = marked.nonzero()[:, 0]
        found = self._region(views, share, learned, torch.arange(len(features)))
        folds = torch.arange(len(learned)) % min(self.folds, len(learned))
        for fold in range(int(folds.max()) + 1):  # nobody tells of what he learned from
            held_out = learned[folds == fold]
            found[held_out] = self._region(views, share, learned[folds != fold], held_out)
        own, told = share[learned, 0], found[learned]
        drawn = float((own * told).sum() / own.sum())
        return Completed(region=(found / max(drawn, 1e-6)).clamp(max=1), drawn=drawn, auroc=_auroc(own, told))

    def _region(self, views: list[_View], share: Tensor, learned: Tensor, asked: Tensor) -> Tensor:
        """How likely the cells of the images `asked` are marked, from those of `learned`: (A, h, w)."""
        from sklearn.linear_model import LogisticRegression  # takes a while to import

        cells, shares = _draw(views, share, learned)
        mean, sd = cells.mean(axis=0), cells.std(axis=0) + _SMALLEST_SD
        cells = (cells - mean) / sd
        model = LogisticRegression(C=_STRENGTH, max_iter=100, tol=1e-3)
        labels = np.repeat([1, 0], len(cells))  # a cell counts on both sides, each by its share
        model.fit(np.concatenate([cells, cells]), labels, np.concatenate([shares, 1 - shares]))
        told = []
        for start in range(0, len(asked), _TOGETHER):
            images = asked[start : start + _TOGETHER].numpy()
            of = [model.predict_proba((view.all_cells(images) - mean) / sd)[:, 1] for view in views]
            told.append(np.asarray(sum(of)) / len(views))
        return torch.from_numpy(np.concatenate(told)).float().view(len(asked), *share.shape[2:])


def _draw(views: list[_View], share: Tensor, images: Tensor) -> tuple[Cells, Cells]:
    """Features (n, C) of cells of some images in all views, `CELLS` at most, and their shares (n,)."""
    size = (len(views), len(images), share.shape[2] * share.shape[3])
    drawn = np.arange(math.prod(size))
    if len(drawn) > CELLS:
        drawn = np.random.default_rng(0).choice(len(drawn), CELLS, replace=False)
    view, image, cell = np.unravel_index(drawn, size)
    image = images.numpy()[image]
    cells = np.empty((len(drawn), views[0].features.shape[2]))
    for i, each in enumerate(views):
        cells[view == i] = each.cells(image[view == i], cell[view == i])
    return cells, share.flatten(1).double().numpy()[image, cell]


@dataclass(frozen=True)
class _View:
    """Features of all images as they are computed; of some cells at a time as float64, for they are many."""

    features: NDArray[np.float32]
    """(N, h w, C)"""
    order: NDArray[np.int64]
    """where the cells of the image are in the features, (h w,)"""

    @classmethod
    def of(cls, features: Tensor, *, mirrored: bool = False) -> Self:
        order = torch.arange(features.shape[2] * features.shape[3]).view(features.shape[2:])
        order = order.flip(-1) if mirrored else order
        maps = features.detach().float().cpu()
        return cls(maps.flatten(2).transpose(1, 2).numpy(), order.flatten().numpy())

    def cells(self, image: NDArray[np.int64], cell: NDArray[np.int64]) -> Cells:
        """The features of cells, (..., C)."""
        return self.features[image, self.order[cell]].astype(np.float64)

    def all_cells(self, images: NDArray[np.int64]) -> Cells:
        """The features of all cells of some images, (n h w, C)."""
        return self.cells(images[:, None], np.arange(len(self.order))).reshape(-1, self.features.shape[2])


def _auroc(share: Tensor, region: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    is_marked = (share >= _SMALLEST_SHARE - 1e-4).flatten().numpy()
    if is_marked.all() or not is_marked.any():
        return 0.5
    return float(roc_auc_score(is_marked, region.flatten().numpy()))
