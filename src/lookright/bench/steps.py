"""Training steps to compare: plain, supervised in one pass, and as the published code is built."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.bench.timing import synchronize
from lookright.config import TrainConfig
from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.explainers.capture import capture
from lookright.losses import build_objective
from lookright.models import create, find_target_layer
from lookright.normalize import normalize
from lookright.types import Batch, Explained


@dataclass(frozen=True)
class Subject:
    """A network in training, its optimizer, and one batch of which every image is annotated."""

    network: nn.Module
    explainer: GradCAM
    supervised: SupervisedModel
    """the two with the objective, as `lookright train --method res-g` puts them together"""
    optimizer: torch.optim.Optimizer
    batch: Batch


def make_subject(backbone: str, *, batch_size: int, image_size: int, device: torch.device) -> Subject:
    """Make a network with random weights and a random batch; the time of a step depends on neither.

    A quarter of each image is marked positive, a quarter negative.

    Args:
        backbone: see `lookright.models.create`
        batch_size: images in the batch
        image_size: H and W
        device: where the network and the batch go

    Raises:
        ConfigError: the backbone does not exist, or cannot take images of that size.

    Example:
        >>> subject = make_subject("small_cnn", batch_size=2, image_size=32, device=torch.device("cpu"))
        >>> subject.batch.image.shape
        torch.Size([2, 3, 32, 32])
    """
    torch.manual_seed(0)
    network = create(backbone, num_classes=2, image_size=image_size).network.to(device).train()
    layer = find_target_layer(network, image_size=image_size)
    objective = build_objective(TrainConfig(method="res-g", weighting="fixed"), layer.stride).to(device)
    explainer = GradCAM(network, layer.name, image_size=image_size)
    annotation = torch.zeros(batch_size, 1, image_size, image_size)
    annotation[..., : image_size // 2, : image_size // 2] = 1
    annotation[..., image_size // 2 :, image_size // 2 :] = -1
    batch = Batch(
        image=torch.randn(batch_size, 3, image_size, image_size).to(device),
        label=torch.randint(0, 2, (batch_size,)).to(device),
        annotation=annotation.to(device),
        annotated=torch.ones(batch_size, dtype=torch.bool, device=device),
        id=tuple(str(i) for i in range(batch_size)),
    )
    # The variants share the network: so small a step leaves it as it was to the others.
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    supervised = SupervisedModel(network, explainer, objective)
    return Subject(network, explainer, supervised, optimizer, batch)


def plain_loss(subject: Subject) -> Tensor:
    """Cross-entropy alone, with nothing of lookright in it."""
    return F.cross_entropy(subject.network(subject.batch.image), subject.batch.label)


def supervised_loss(subject: Subject) -> Tensor:
    """RES-G in one forward pass, second order on."""
    total: Tensor = subject.supervised(subject.batch).total
    return total


def published_loss(subject: Subject) -> Tensor:
    """RES-G as the published code is built, with our objective on top.

    After the forward pass of the batch each image runs through the network once more, alone; its score is
    differentiated all the way down, gradients of the weights included, which are thrown away; and its map,
    the channel weights held fixed, stays in the graph. The loss's own backward pass then goes through the
    batch's graph and every image's.
    """
    batch, objective = subject.batch, subject.supervised.objective
    logits = subject.network(batch.image)
    raw = torch.cat([_map_of_one(subject, i) for i in range(len(batch.label))])
    subject.optimizer.zero_grad()
    explanations = {request: normalize(raw, request.normalization) for request in objective.requests}
    total: Tensor = objective(batch, Explained(logits, explanations)).total
    return total


def _map_of_one(subject: Subject, i: int) -> Tensor:
    explainer = subject.explainer
    layer = explainer.layer
    with capture({layer.name: layer.module}) as captured:
        logits: Tensor = subject.network(subject.batch.image[i : i + 1])
    activation = captured[layer.name]
    activation.retain_grad()
    torch.autograd.backward(logits[0, subject.batch.label[i]], retain_graph=True)
    gradient = activation.grad
    if gradient is None:
        raise ValueError(f"subject: the logits do not depend on '{layer.name}'")
    weight = explainer.weight(activation.detach(), gradient)
    return (weight * activation).sum(dim=1, keepdim=True)


class Variant(enum.Enum):
    """What a training step minimises: see `LOSSES`."""

    PLAIN = "plain"
    SUPERVISED = "supervised"
    PUBLISHED = "published"


LOSSES: dict[Variant, Callable[[Subject], Tensor]] = {
    Variant.PLAIN: plain_loss,
    Variant.SUPERVISED: supervised_loss,
    Variant.PUBLISHED: published_loss,
}


def make_step(subject: Subject, variant: Variant) -> Callable[[], None]:
    """Make one training step: forward, backward, AdamW. Between steps there are no gradients."""
    loss, device = LOSSES[variant], subject.batch.image.device

    def step() -> None:
        torch.autograd.backward(loss(subject))
        subject.optimizer.step()
        subject.optimizer.zero_grad()
        synchronize(device)

    return step
