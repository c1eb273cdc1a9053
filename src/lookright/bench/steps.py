"""Training steps to compare: plain, supervised in one pass, and as the published code is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.explainers.capture import capture
from lookright.losses import RES, Objective, Term
from lookright.models import create, find_target_layer
from lookright.normalize import min_max
from lookright.types import Batch

Step = Callable[[], None]


@dataclass(frozen=True)
class Subject:
    """A network with an optimizer and one batch, every image of it annotated."""

    network: nn.Module
    layer_name: str
    optimizer: torch.optim.Optimizer
    batch: Batch


def make_subject(backbone: str, batch_size: int, image_size: int, device: torch.device) -> Subject:
    """Make a network with random weights and a random batch; speed does not depend on either."""
    torch.manual_seed(0)
    network = create(backbone, num_classes=2).network.to(device).train()
    annotation = torch.zeros(batch_size, 1, image_size, image_size)
    annotation[..., : image_size // 2, : image_size // 2] = 1
    annotation[..., image_size // 2 :, image_size // 2 :] = -1
    batch = Batch(
        torch.randn(batch_size, 3, image_size, image_size, device=device),
        torch.randint(0, 2, (batch_size,), device=device),
        annotation.to(device),
        torch.ones(batch_size, dtype=torch.bool, device=device),
        tuple(str(i) for i in range(batch_size)),
    )
    layer = find_target_layer(network, image_size=image_size)
    return Subject(network, layer.name, torch.optim.AdamW(network.parameters(), lr=1e-6), batch)


def plain_step(subject: Subject) -> Step:
    """Cross-entropy alone."""
    model = SupervisedModel(subject.network, None, Objective())
    return _step(subject, lambda: model(subject.batch).total)


def supervised_step(subject: Subject) -> Step:
    """RES-G, second order on, every image annotated."""
    model = SupervisedModel(
        subject.network, GradCAM(subject.network, subject.layer_name), Objective([Term(RES())])
    )
    return _step(subject, lambda: model(subject.batch).total)


def published_step(subject: Subject) -> Step:
    """RES-G as the published code is built: one more forward and one more backward pass per image.

    Each image runs through the network alone, its score is differentiated down to the input, and the map
    with its weights held fixed joins the loss of the batch.
    """
    layer = subject.network.get_submodule(subject.layer_name)
    loss = RES()

    def total() -> Tensor:
        batch = subject.batch
        cross_entropy = F.cross_entropy(subject.network(batch.image), batch.label)
        maps = []
        for i in range(len(batch.label)):
            with capture(layer, subject.layer_name) as captured:
                score = subject.network(batch.image[i : i + 1])[0, batch.label[i]]
            activation = captured.activation
            if activation is None:
                raise RuntimeError("the target layer did not run")
            activation.retain_grad()
            score.backward(retain_graph=True)
            gradient = activation.grad
            if gradient is None:
                raise RuntimeError("no gradient reached the target layer")
            weight = gradient.mean(dim=(2, 3), keepdim=True).clone()
            activation.grad = None
            maps.append((weight * activation).sum(dim=1, keepdim=True))
        subject.optimizer.zero_grad()
        return cross_entropy + loss(min_max(torch.cat(maps)), batch.annotation)

    return _step(subject, total)


def _step(subject: Subject, total: Callable[[], Tensor]) -> Step:
    def step() -> None:
        subject.optimizer.zero_grad()
        total().backward()
        subject.optimizer.step()
        if subject.batch.image.device.type == "cuda":
            torch.cuda.synchronize()

    return step
