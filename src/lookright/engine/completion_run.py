"""The training images of a run, their annotations completed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, collate
from lookright.data.annotations import Matrix
from lookright.engine.boundary import Boundary
from lookright.engine.channels_last import place
from lookright.engine.completion import Completion
from lookright.engine.features import FeatureStore
from lookright.engine.setup import Setup
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.errors import LookrightError, LookrightWarning, NonFiniteError
from lookright.explainers.capture import capture
from lookright.models.maps import to_map
from lookright.models.modes import evaluating
from lookright.types import Batch

log = logging.getLogger("lookright")

Found = tuple[dict[int, Matrix], dict[str, float]]
"""The new marks by the index of the image; and `images`, how many these are, with `drawn` and `auroc` of
`Completed` where anything could be learned."""

_TOGETHER = 32


def complete(setup: Setup, config: TrainConfig, fabric: Fabric, store: FeatureStore | None) -> Setup:
    """Complete the annotations of the training images, if the method says so.

    The first process does it for all: features that differ by rounding must not give two processes other
    annotations.

    Args:
        setup: of the run
        config: its options
        fabric: launched
        store: features that runs share

    Returns:
        the setup with other annotations, and what was found out

    Raises:
        NonFiniteError: the features are not finite.
        DataError: a photo or an annotation cannot be read.
    """
    train, boundary = setup.train, setup.boundary
    if setup.completion is None or boundary is None or not isinstance(train, ExplanationDataset):
        return setup
    found: Found | LookrightError = {}, {}
    with fabric.rank_zero_first():  # the others wait for as long as it takes
        if fabric.global_rank == 0:
            try:
                views = _views(setup, boundary, train.without_isolation(), config, fabric.device, store)
                found = find_marks(setup.completion, train, *views)
            except LookrightError as error:
                found = error
    found = fabric.broadcast(found)
    if isinstance(found, LookrightError):  # in every process: none waits for one that stopped
        raise found
    marks, facts = found
    return replace(setup, train=train.with_marks(marks), completed=facts)


def find_marks(
    completion: Completion, images: ExplanationDataset, features: Tensor, mirrored: Tensor | None = None
) -> Found:
    """Find the marks that complete the annotations of a data set; a warning says why there are none.

    Args:
        completion: how
        images: as people have annotated them
        features: (N, C, h, w)
        mirrored: (N, C, h, w), of the mirrored images
    """
    drawn = images.as_drawn()
    share = torch.stack([_share(_marks(drawn, i), features) for i in range(len(drawn))])
    marked = share.flatten(1).any(dim=1)
    if marked.sum() < 2:
        _warn(f"images with a positive mark: {int(marked.sum())}, and two are needed to learn from")
        return {}, {"images": 0}
    found = completion(features, share, marked, mirrored)
    facts = {"drawn": round(found.drawn, 4), "auroc": round(found.auroc, 4)}
    if found.auroc < completion.reliable:
        _warn(
            f"features do not tell marked cells from others (AUROC {found.auroc:.2f} in images that were not "
            f"learned from, {completion.reliable} is needed)"
        )
        return {}, {"images": 0, **facts}
    is_positive = found.region > completion.threshold
    new: dict[int, Matrix] = {}
    for i, annotated in enumerate(drawn.annotated):
        if not annotated:
            new[i] = Matrix(is_positive[i].to(torch.uint8).numpy(), made=True)
        elif marked[i] and found.drawn < completion.complete_below:
            new[i] = _completed(_marks(drawn, i)[0], is_positive[i])
    log.info(
        "%s: %.0f %% of the evidence seems to be marked where people did (AUROC of marked cells %.2f)",
        f"annotations of {len(new)} of {len(drawn)} images completed" if new else "annotations stay as drawn",
        *(100 * found.drawn, found.auroc),
    )
    return new, {"images": len(new), **facts}


def _marks(images: ExplanationDataset, index: int) -> Tensor:
    """(1, H, W), the only annotation of an image."""
    return images.marks(index)[0][1].float()


def _share(marks: Tensor, features: Tensor) -> Tensor:
    """How much of each cell of the features is marked positive, (1, h, w)."""
    return F.adaptive_avg_pool2d(marks.clamp(min=0), (features.shape[2], features.shape[3]))


def _completed(marks: Tensor, is_positive: Tensor) -> Matrix:
    """The marks (H, W) of a person; where there are none, the cells (h, w) that are evidence."""
    cells = F.interpolate(is_positive[None, None].float(), marks.shape[-2:])[0, 0]
    positive = torch.where(marks == 0, cells, marks.clamp(min=0))
    return Matrix(_compact(positive).numpy(), _compact((-marks).clamp(min=0)).numpy(), made=True)


def _compact(side: Tensor) -> Tensor:
    """The same in a byte per pixel where nothing is graded."""
    whole = side.to(torch.uint8)
    return whole if torch.equal(whole.float(), side) else side


def _views(
    setup: Setup,
    boundary: Boundary,
    train: ExplanationDataset,
    config: TrainConfig,
    device: torch.device,
    store: FeatureStore | None,
) -> list[Tensor]:
    """Features of the images, and of the mirrored ones where the run mirrors."""
    network = place(setup.classifier.network, device)
    trunk = None
    if config.cache_features:
        trunk = make_trunk(setup.classifier, [setup.explainer], image_size=config.image_size, store=store)
        # Those of validation too: as training asks for them, in the same batches.
        datasets = [images for images in (train, setup.val) if isinstance(images, ExplanationDataset)]
        if trunk is not None and not trunk.fill(datasets, device):
            trunk = None
    orientations = (False, True) if train.flip else (False,)
    return [_features(network, train, boundary, trunk, device, mirrored=each) for each in orientations]


def _features(
    network: nn.Module,
    images: ExplanationDataset,
    boundary: Boundary,
    trunk: FrozenTrunk | None,
    device: torch.device,
    *,
    mirrored: bool,
) -> Tensor:
    """What the network gives at the boundary, (N, C, h, w) on the CPU."""
    found = []
    layers = {boundary.layer: network.get_submodule(boundary.layer)}
    view = boundary.view
    load = _without_photos if trunk is not None and trunk.serves(images) else _with_photos
    with evaluating(network), torch.no_grad():
        for start in range(0, len(images), _TOGETHER):
            batch = load(images, range(start, min(start + _TOGETHER, len(images))), mirrored)
            batch = batch._replace(image=batch.image.to(device))
            with trunk.serving(batch) if trunk else nullcontext(), capture(layers) as captured:
                network(batch.image)
            maps = to_map(captured[boundary.layer], view.layout, view.grid, view.prefix)
            if not bool(maps.isfinite().all()):
                raise NonFiniteError(
                    f"method: the network's features at {boundary.layer} are not finite (batch with "
                    f"{', '.join(batch.id[:4])}), so annotations cannot be completed; check its weights"
                )
            found.append(maps.detach().float().cpu())
    return torch.cat(found)


def _with_photos(images: ExplanationDataset, indices: Sequence[int], mirrored: bool) -> Batch:
    return collate([images.sample(i, mirrored=mirrored) for i in indices])


def _without_photos(images: ExplanationDataset, indices: Sequence[int], mirrored: bool) -> Batch:
    """A batch for a network that starts from features: its images are NaN, nothing is annotated."""
    count, side = len(indices), images.image_size
    return Batch(
        image=torch.full((1, 1, 1, 1), torch.nan).expand(count, 3, side, side),
        label=torch.zeros(count, dtype=torch.int64),
        annotation=torch.zeros(1, 1, 1, 1).expand(count, 1, side, side),
        annotated=torch.zeros(count, dtype=torch.bool),
        id=tuple(images.items[i].id for i in indices),
        mirrored=(mirrored,) * count,
        pixels=lambda: _with_photos(images, indices, mirrored).image,
    )


def _warn(why: str) -> None:
    warnings.warn(
        f"method: annotations stay as they are, not completed: {why}", LookrightWarning, stacklevel=2
    )
