"""From the options of runs that may learn together to everything they share, and who cannot after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lookright.config import TrainConfig
from lookright.data import ResidentDataset
from lookright.engine.annotation_check import check_annotations
from lookright.engine.batch_changes import (
    make_completion,
    make_counterexamples,
    make_exchange,
    make_isolation,
)
from lookright.engine.features import FeatureStore, Key
from lookright.engine.many.cells import Cells
from lookright.engine.many.choose import method_key
from lookright.engine.many.family import Family
from lookright.engine.many.heads import ClosedForm, map_scale
from lookright.engine.many.seeds import ApartError, SeedPart, head_of, make_resident, seed_parts
from lookright.engine.many.trial import try_family
from lookright.engine.processes import make_fabric
from lookright.engine.run_objective import make_objective
from lookright.engine.setup import Setup
from lookright.engine.trial import find_stride
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.explainers.base import LayerExplainer
from lookright.losses import Objective, build_objective
from lookright.models import find_stages
from lookright.models.layers import TargetLayer


@dataclass(frozen=True)
class Method:
    """The runs of one method."""

    name: str
    runs: list[int]
    """index of each run"""
    seeds: list[int]
    """row of each run's seed"""
    family: Family


@dataclass(frozen=True)
class Group:
    """Runs that learn together: methods on the same batches."""

    seeds: list[SeedPart]
    methods: list[Method]
    setup: Setup
    """of the first seed; its network stands for all"""
    form: ClosedForm
    cells: Cells
    val: ResidentDataset | None
    device: torch.device


def prepare(
    configs: Sequence[TrainConfig], indices: Sequence[int], store: FeatureStore | None
) -> tuple[Group | None, dict[int, str]]:
    """Make what runs share, and try it out.

    Args:
        configs: all runs
        indices: of those whose options let them learn together
        store: features that runs share

    Returns:
        the group, or None; and by index the runs that have to train alone, and why

    Raises:
        ConfigError, DataError, CheckpointError: an option, or data, that cannot work.
    """
    first = configs[indices[0]]
    device = make_fabric(first).device
    try:
        seeds, apart = seed_parts([configs[i] for i in indices], device)
        setup = seeds[0].setup
        form = _closed_form(setup)
        val = make_resident(setup.val, device) if setup.val is not None else None
        trunk = _filled_trunk(setup, seeds, val, store, first, device)
    except ApartError as error:
        return None, dict.fromkeys(indices, str(error))
    cells = Cells(trunk, _layer(setup), _keys(seeds, val))
    rows = {part.seed: row for row, part in enumerate(seeds)}
    alone = {i: apart[configs[i].seed] for i in indices if configs[i].seed in apart}
    if val is not None and not any(val.dataset.annotated):  # `train` refuses them
        needing = [i for i in indices if configs[i].best in ("reasonability", "both")]
        alone |= dict.fromkeys(needing, "best: no validation image is annotated")
    by_method: dict[str, list[int]] = {}
    for i in indices:
        if i not in alone:
            by_method.setdefault(method_key(configs[i]), []).append(i)
    methods = []
    for runs in by_method.values():
        config = configs[runs[0]]
        places = [rows[configs[i].seed] for i in runs]
        try:
            if len(set(places)) < len(places):
                raise ApartError("the same options twice")
            objectives = _objectives([configs[i] for i in runs], [seeds[row] for row in places], setup)
            family = Family([objective.to(device).train() for objective in objectives])
            try_family(family, config, [seeds[row] for row in places], form, cells, trunk)
        except ApartError as error:
            alone |= dict.fromkeys(runs, str(error))
            continue
        methods.append(Method(config.method, runs, places, family))
    if not methods:
        return None, alone
    return Group(seeds, methods, setup, form, cells, val, device), alone


def _closed_form(setup: Setup) -> ClosedForm:
    layer = _layer(setup)
    height, width = layer.grid
    scale = map_scale(setup.explainer, height * width)
    if scale is None:
        raise ApartError(f"explainer: no closed form of {type(setup.explainer).__name__}")
    head = head_of(setup.classifier)
    if head.weight.shape[1] != layer.channels:
        raise ApartError(f"'{head.name}' does not follow '{layer.name}' and a pooling")
    return ClosedForm(head, scale, layer.grid)


def _layer(setup: Setup) -> TargetLayer:
    if not isinstance(setup.explainer, LayerExplainer):
        raise ApartError(f"explainer: no closed form of {type(setup.explainer).__name__}")
    return setup.explainer.layer


def _filled_trunk(
    setup: Setup,
    seeds: Sequence[SeedPart],
    val: ResidentDataset | None,
    store: FeatureStore | None,
    config: TrainConfig,
    device: torch.device,
) -> FrozenTrunk:
    """Compute the features of all images, or take them from the store."""
    trunk = make_trunk(
        setup.classifier,
        {setup.explainer},
        image_size=config.image_size,
        store=FeatureStore.of(config) if store is None else store,
    )
    residents = {id(r): r for r in [*(part.resident for part in seeds), *([val] if val else [])]}
    if trunk is None or not trunk.fill([resident.dataset for resident in residents.values()], device):
        raise ApartError("features of the frozen part cannot be kept")
    if not all(trunk.serves(resident.dataset) for resident in residents.values()):
        raise ApartError("what follows the frozen part looks at the image")
    return trunk


def _keys(seeds: Sequence[SeedPart], val: ResidentDataset | None) -> list[Key]:
    datasets = [*(part.resident.dataset for part in seeds), *([val.dataset] if val else [])]
    return [(each.name, each.mirrored) for dataset in datasets for each in dataset.appearances()]


def _objectives(configs: Sequence[TrainConfig], parts: Sequence[SeedPart], setup: Setup) -> list[Objective]:
    """Make the objective of each run of a method, what learns of it drawn as the run alone would."""
    task = setup.output.task
    if make_counterexamples(configs[0]) is not None:
        raise ApartError("counterexamples are new images in every batch")
    if make_completion(configs[0], task) is not None:
        raise ApartError("annotations are completed from features")
    if make_isolation(configs[0], task) is not None:
        raise ApartError("images are isolated by the annotations of their run")
    if make_exchange(configs[0]) is not None:
        raise ApartError("features are exchanged between the images of a batch")
    stages = find_stages(setup.classifier.network, image_size=configs[0].image_size)
    stride = find_stride(setup.explainer)
    made = []
    for i, (config, part) in enumerate(zip(configs, parts, strict=True)):
        torch.set_rng_state(part.random_state)
        images = len(part.setup.train)
        if i == 0:  # tried out
            made.append(make_objective(config, setup.classifier, setup.explainer, task, images=images))
            check_annotations(config.method, [term.loss for term in made[0].terms], part.setup.train)
        else:
            made.append(build_objective(config, stride, stages, task=task, images=images))
    for request in made[0].requests:
        if request.explainer is not None or request.channels:
            raise ApartError("a loss is defined on an explainer of its own")
    return made
