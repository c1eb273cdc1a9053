"""Training steps to compare: plain, supervised in one pass, by captum, and as the published code is built."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.bench.timing import synchronize
from lookright.config import TrainConfig
from lookright.engine.channels_last import place
from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.explainers.capture import capture
from lookright.losses import build_objective
from lookright.models import create, find_target_layer
from lookright.normalize import normalize
from lookright.types import Batch, Explained

StepPrecision = Literal["32", "bf16"]
"""fp16 is not measured: it scales its losses, which is work of its own"""


@dataclass(frozen=True)
class Subject:
    """A network in training, its optimizer, and one batch of which every image is annotated."""

    network: nn.Module
    explainer: GradCAM
    supervised: SupervisedModel
    """the two with the objective, as `lookright train --method METHOD` puts them together"""
    optimizer: torch.optim.Optimizer
    batch: Batch
    precision: StepPrecision = "32"

    def autocast(self) -> torch.autocast:
        """Run networks in the precision of the subject, as Fabric does around a model's forward."""
        device = self.batch.image.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def make_subject(
    backbone: str,
    *,
    batch_size: int,
    image_size: int,
    device: torch.device,
    precision: StepPrecision = "32",
    method: str = "res-g",
) -> Subject:
    """Make a network with random weights and a random batch; the time of a step depends on neither.

    A quarter of each image is marked positive, a quarter negative.

    Args:
        backbone: see `lookright.models.create`
        batch_size: images in the batch
        image_size: H and W
        device: where the network and the batch go
        precision: of the network
        method: how its explanations are supervised

    Raises:
        ConfigError: the backbone does not exist, or cannot take images of that size.

    Example:
        >>> subject = make_subject("small_cnn", batch_size=2, image_size=32, device=torch.device("cpu"))
        >>> subject.batch.image.shape
        torch.Size([2, 3, 32, 32])
    """
    torch.manual_seed(0)
    network = place(create(backbone, num_classes=2, image_size=image_size).network, device).train()
    layer = find_target_layer(network, image_size=image_size)
    objective = build_objective(TrainConfig(method=method, weighting="fixed"), layer.stride).to(device)
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
    return Subject(network, explainer, supervised, optimizer, batch, precision)


def plain_loss(subject: Subject) -> Tensor:
    """Cross-entropy alone, with nothing of lookright in it."""
    with subject.autocast():
        logits = subject.network(subject.batch.image)
    return F.cross_entropy(logits.float(), subject.batch.label)


def supervised_loss(subject: Subject) -> Tensor:
    """The objective in one forward pass, second order on."""
    with subject.autocast():
        total: Tensor = subject.supervised(subject.batch).total
    return total


def captum_loss(subject: Subject) -> Tensor:
    """RES-G on the maps of captum: its `LayerGradCam` with `create_graph`, second order on.

    Captum gives maps and keeps the logits to itself, so they take a forward pass of their own.
    """
    from captum.attr import LayerGradCam

    batch = subject.batch
    with subject.autocast():
        logits = subject.network(batch.image)
        maps = LayerGradCam(subject.network, subject.explainer.layer.module)
        raw = maps.attribute(batch.image, batch.label, grad_kwargs={"create_graph": True})
    return _objective_on(subject, logits, raw)


def published_loss(subject: Subject) -> Tensor:
    """RES-G as the published code is built, with our objective on top.

    After the forward pass of the batch each image runs through the network once more, alone; its score is
    differentiated all the way down, gradients of the weights included, which are thrown away; and its map,
    the channel weights held fixed, stays in the graph. The loss's own backward pass then goes through the
    batch's graph and every image's.
    """
    with subject.autocast():
        logits = subject.network(subject.batch.image)
        raw = torch.cat([_map_of_one(subject, i) for i in range(len(subject.batch.label))])
    subject.optimizer.zero_grad()
    return _objective_on(subject, logits, raw)


def _objective_on(subject: Subject, logits: Tensor, raw: Tensor) -> Tensor:
    objective = subject.supervised.objective
    explanations = {request: normalize(raw.float(), request.normalization) for request in objective.requests}
    total: Tensor = objective(subject.batch, Explained(logits.float(), explanations)).total
    return total


def _map_of_one(subject: Subject, i: int) -> Tensor:
    explainer = subject.explainer
    layer = explainer.layer
    with capture({layer.name: layer.module}) as captured:
        logits: Tensor = subject.network(subject.batch.image[i : i + 1])
    found = captured[layer.name]
    found.retain_grad()
    torch.autograd.backward(logits[0, subject.batch.label[i]], retain_graph=True)
    if found.grad is None:
        raise ValueError(f"subject: the logits do not depend on '{layer.name}'")
    activation, gradient = layer.to_map(found), layer.to_map(found.grad)
    weight = explainer.weight(activation.detach(), gradient)
    return (weight * activation).sum(dim=1, keepdim=True)


class Variant(enum.Enum):
    """What a training step minimises: see `LOSSES`."""

    PLAIN = "plain"
    SUPERVISED = "supervised"
    CAPTUM = "captum"
    PUBLISHED = "published"


LOSSES: dict[Variant, Callable[[Subject], Tensor]] = {
    Variant.PLAIN: plain_loss,
    Variant.SUPERVISED: supervised_loss,
    Variant.CAPTUM: captum_loss,
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
