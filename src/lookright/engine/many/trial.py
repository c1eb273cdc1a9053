"""The first step of a method, computed for all its runs at once and by the network itself: do they agree?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.engine.guard import check_reach
from lookright.engine.many.cells import Cells, LooksAtImageError, no_image
from lookright.engine.many.family import Family, Judged, Marks
from lookright.engine.many.heads import ClosedForm, logits_of, project
from lookright.engine.many.seeds import ApartError, SeedPart
from lookright.engine.trunk import FrozenTrunk
from lookright.explainers import explain
from lookright.models import set_train_mode
from lookright.types import Explained

_SHARE = 1e-3
"""Largest difference, as a share of the largest value."""


def try_family(
    family: Family,
    config: TrainConfig,
    parts: Sequence[SeedPart],
    form: ClosedForm,
    cells: Cells,
    trunk: FrozenTrunk,
) -> None:
    """Compare the first step of all runs of a method with what the network gives.

    Finds out as well whether the losses of all seeds can be computed at once, and whether they look at
    annotations at the size of the image: sets `at_once` and `full` of the family.

    Args:
        family: objectives of the runs
        config: options of one of them
        parts: the seed of each run
        form: the closed form to be tried
        cells: features
        trunk: serves them to the network

    Raises:
        ApartError: they differ, a loss looks at the pixels, or it does not reach the head.
    """
    batches = [part.batch(next(iter(part.sampler)), epoch=0) for part in parts]
    keys = [key for b in batches for key in zip(b.id, b.mirrored or (), strict=True)]
    features = cells.take(keys)
    features = features.view(len(parts), -1, *features.shape[1:])
    weight = torch.stack([part.weight for part in parts])[:, None]
    activation = project(features, weight)[:, 0]
    logits = logits_of(activation, torch.stack([part.bias for part in parts]))
    marks = Marks.of(batches, form.grid, family.rules, full=True)
    maps = form.explain(activation, logits, marks.label, family.requests)

    setup, objective, head = parts[0].setup, family.objectives[0], form.head
    network = setup.classifier.network
    set_train_mode(network, freeze_batchnorm=setup.freeze_batchnorm)
    with torch.no_grad():
        head.weight.copy_(parts[0].weight.view_as(head.weight))
        if head.bias is not None:
            head.bias.copy_(parts[0].bias)
    batch = batches[0]._replace(pixels=no_image)
    with trunk.serving(batch):
        requests = dict.fromkeys(family.requests, setup.explainer)
        if requests:
            explained = explain(network, batch.image, batch.label, requests)
        else:
            explained = Explained(network(batch.image), {})
    try:
        result = objective(batch, explained)
    except LooksAtImageError:
        raise ApartError("a loss looks at the image") from None
    if not _agree(logits[0], explained.logits) or not all(
        _agree(maps[request][0], explained.explanations[request]) for request in requests
    ):
        raise ApartError("more than pooling and a linear layer follows the target layer")
    if config.guard and result.parts:
        model = nn.ModuleDict({"network": network, "objective": objective})
        reach = check_reach(torch.stack(result.parts).sum(), model)
        if reach is not None and (why := reach.warning(config.second_order)):
            raise ApartError(why)

    family.at_once = False
    expected = family.judge(marks, logits, maps)
    family.full = not _same(expected, family.judge(marks.without_full(), logits, maps))
    family.at_once = True
    try:
        family.at_once = _same(expected, family.judge(marks, logits, maps))
    except Exception:  # whatever a loss of the user's own does that cannot be vectorised
        family.at_once = False


def _agree(ours: Tensor, theirs: Tensor) -> bool:
    ours, theirs = ours.detach(), theirs.detach()
    return float((ours - theirs).abs().max()) <= _SHARE * max(float(theirs.abs().max()), 1e-12)


def _same(one: Judged, other: Judged) -> bool:
    pairs = [(one.prediction, other.prediction), (one.parts, other.parts)]
    pairs += [(fact, other.facts[name]) for name, fact in one.facts.items()]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)
