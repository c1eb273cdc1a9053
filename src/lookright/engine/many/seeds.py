"""What the runs of one seed share: data in its order, and the head as the seed draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from lookright.config import TrainConfig
from lookright.data import AnnotatedBatchSampler, ExplanationDataset, ResidentDataset
from lookright.data.resident import NoRoomError
from lookright.data.stream import Images
from lookright.engine.many.choose import without_method
from lookright.engine.many.heads import Head, find_head
from lookright.engine.run_data import choose, make_images, read_data
from lookright.engine.setup import Setup, make_classifier, set_up
from lookright.models import Classifier
from lookright.types import Batch, Task


class ApartError(Exception):
    """Runs that cannot learn together; says why."""


@dataclass(frozen=True)
class SeedPart:
    """What the runs of one seed share."""

    seed: int
    setup: Setup
    """of plain training"""
    resident: ResidentDataset
    sampler: AnnotatedBatchSampler
    weight: Tensor
    """(K, C), as the head starts"""
    bias: Tensor
    """(K,)"""
    random_state: Tensor
    """of torch after the network was made: what a learned imputer is drawn with"""

    def batch(self, indices: Sequence[int], epoch: int) -> Batch:
        """Give the images of these indices, mirrored as this seed has them in this epoch."""
        dataset = self.resident.dataset  # other seeds may have the same one
        dataset.seed = self.seed
        dataset.set_epoch(epoch)
        return self.resident.batch(indices)


def seed_parts(configs: Sequence[TrainConfig], device: torch.device) -> tuple[list[SeedPart], dict[int, str]]:
    """Make what the runs of each seed share; by seed, why one does not fit the first."""
    plain = {config.seed: without_method(config) for config in configs}
    first, *others = plain.values()
    setup = set_up(first)
    random_state = torch.get_rng_state()
    if setup.output.task is Task.MULTI_LABEL:
        raise ApartError("images with several labels")
    residents: dict[object, ResidentDataset] = {}

    def part(config: TrainConfig, setup: Setup, head: Head, random_state: Tensor) -> SeedPart:
        train = at_hand(setup.train)
        # Rough annotations are made by the seed: each has its own.
        key = train.items, config.seed if config.corrupt else None
        if key not in residents:
            residents[key] = make_resident(train, device)
        sampler = AnnotatedBatchSampler(train.annotated, config.batch_size, seed=config.seed)
        weight = head.weight.detach().flatten(1).clone().to(device)
        bias = weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach().clone().to(device)
        return SeedPart(config.seed, setup, residents[key], sampler, weight, bias, random_state)

    parts = [part(first, setup, head_of(setup.classifier), random_state)]
    apart = {}
    data = cache(partial(read_data, first))
    for config in others:
        annotation_set = choose(data(), config)
        classifier, output = make_classifier(config, annotation_set)
        random_state = torch.get_rng_state()
        if not _same_frozen(classifier, setup):
            apart[config.seed] = "its frozen weights are not those of the first seed"
            continue
        train = make_images(annotation_set, "train", setup.classifier, config, output)
        if len(train) != len(setup.train):
            apart[config.seed] = "another number of training images than the first seed"
            continue
        own = replace(setup, train=train, output=output)
        trained = dict(classifier.network.named_parameters())
        name = head_of(setup.classifier).name
        head = Head(trained[f"{name}.weight"], trained.get(f"{name}.bias"), name)
        parts.append(part(config, own, head, random_state))
    setup.classifier.network.to(device)
    return parts, apart


def head_of(classifier: Classifier) -> Head:
    """Find the linear layer that learns.

    Raises:
        ApartError: something else learns.
    """
    head = find_head(classifier.network)
    if head is None:
        raise ApartError("what learns is not one linear layer")
    return head


def _same_frozen(classifier: Classifier, setup: Setup) -> bool:
    ours = setup.classifier.network.state_dict()
    theirs = classifier.network.state_dict()
    learning = set(setup.scope.trained)
    return all(torch.equal(ours[name], theirs[name]) for name in ours if name not in learning)


def at_hand(images: Images) -> ExplanationDataset:
    """Give the images of a data folder.

    Raises:
        ApartError: they are streamed.
    """
    if not isinstance(images, ExplanationDataset):
        raise ApartError("data: shards are streamed, to each run by itself")
    return images


def make_resident(images: Images, device: torch.device) -> ResidentDataset:
    """Bring labels and annotations into memory.

    Raises:
        ApartError: there is no room for them.
    """
    dataset = at_hand(images)
    try:
        return ResidentDataset(dataset, device)
    except NoRoomError as error:
        raise ApartError("their annotations do not fit into memory") from error
