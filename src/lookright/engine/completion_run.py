"""The training images of a run, their annotations completed."""

from __future__ import annotations

import logging
import warnings
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, collate
from lookright.data.annotations import Marks, Matrix
from lookright.engine.boundary import Boundary, find_boundary
from lookright.engine.channels_last import place
from lookright.engine.completion import Completion
from lookright.engine.features import FeatureStore
from lookright.engine.setup import Setup
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.errors import LookrightWarning
from lookright.explainers.capture import capture
from lookright.models.maps import to_map
from lookright.models.modes import evaluating

log = logging.getLogger("lookright")

_TOGETHER = 32


def complete(setup: Setup, config: TrainConfig, device: torch.device, store: FeatureStore | None) -> Setup:
    """Complete the annotations of the training images, if the method says so.

    Args:
        setup: of the run
        config: its options
        device: where features are computed
        store: features that runs share

    Returns:
        the setup with other annotations, and what was found out

    Raises:
        ConfigError: the network has no maps below what learns.
    """
    if setup.completion is None or not isinstance(setup.train, ExplanationDataset):
        return setup
    train, network = setup.train, place(setup.classifier.network, device)
    trunk = None
    if config.cache_features:
        trunk = make_trunk(setup.classifier, [setup.explainer], image_size=config.image_size, store=store)
        if trunk is not None and not trunk.fill([train], device):
            trunk = None
    boundary = find_boundary(network, config.train, image_size=config.image_size)
    views = [
        _features(network, train, boundary, trunk, device, mirrored=mirrored)
        for mirrored in ((False, True) if train.flip else (False,))
    ]
    changed, facts = complete_images(setup.completion, train, *views)
    return replace(setup, train=changed, completed=facts)


def complete_images(
    completion: Completion, images: ExplanationDataset, features: Tensor, mirrored: Tensor | None = None
) -> tuple[ExplanationDataset, dict[str, float]]:
    """Complete the annotations of a data set.

    Args:
        completion: how
        images: as people have annotated them
        features: (N, C, h, w)
        mirrored: (N, C, h, w), of the mirrored images

    Returns:
        the images with their annotations; and `drawn` and `auroc` of `Completed`, with the number of `images`
        whose annotation is another than before, none where too little is marked
    """
    drawn = images.as_drawn()
    grid = (features.shape[2], features.shape[3])
    marks = [drawn.marks(i)[0][1].float() for i in range(len(drawn))]
    share = torch.stack([F.adaptive_avg_pool2d(each.clamp(min=0), grid) for each in marks])
    marked = share.flatten(1).any(dim=1)
    if marked.sum() < 2:
        _warn(f"{int(marked.sum())} annotated image(s) with a positive mark; two are needed to learn from")
        return images, {"images": 0}
    found = completion(features, share, marked, mirrored)
    facts = {"drawn": round(found.drawn, 4), "auroc": round(found.auroc, 4)}
    if found.auroc < completion.reliable:
        _warn(
            f"the features do not tell marked cells from others (AUROC {found.auroc:.2f} on images that were "
            f"not learned from; {completion.reliable} is needed)"
        )
        return images, {**facts, "images": 0}
    is_positive = found.region > completion.threshold
    new: dict[int, Marks] = {}
    for i, annotated in enumerate(drawn.annotated):
        if not annotated:
            new[i] = Matrix(is_positive[i].to(torch.uint8).numpy(), made=True)
        elif marked[i] and found.drawn < completion.complete_below:
            cells = F.interpolate(is_positive[i][None, None].float(), marks[i].shape[-2:])[0, 0]
            positive = torch.where(marks[i][0] == 0, cells, marks[i][0].clamp(min=0))
            new[i] = Matrix(positive.numpy(), (-marks[i][0]).clamp(min=0).numpy(), made=True)
    log.info(
        "annotations of %d images completed: AUROC of marked cells %.2f, %.0f %% of the evidence is drawn",
        *(len(new), found.auroc, 100 * found.drawn),
    )
    return images.with_marks(new), {**facts, "images": len(new)}


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
    with evaluating(network), torch.no_grad():
        for start in range(0, len(images), _TOGETHER):
            indices = range(start, min(start + _TOGETHER, len(images)))
            batch = collate([images.sample(i, mirrored=mirrored) for i in indices])
            batch = batch._replace(image=batch.image.to(device))
            with trunk.serving(batch) if trunk else nullcontext(), capture(layers) as captured:
                network(batch.image)
            maps = to_map(captured[boundary.layer], view.layout, view.grid, view.prefix)
            found.append(maps.detach().float().cpu())
    return torch.cat(found)


def _warn(why: str) -> None:
    warnings.warn(f"method: annotations are not completed: {why}", LookrightWarning, stacklevel=3)
