"""Every method learns what it is about: 50 steps on decoy digits."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lookright.config import DataConfig, TrainConfig
from lookright.data import ExplanationDataset, collate, read_annotations
from lookright.data.toy import BACKGROUND
from lookright.engine.supervised import SupervisedModel
from lookright.engine.weighting import GradientRatio
from lookright.explainers import GradCAM, explain
from lookright.losses import METHODS, build_objective
from lookright.resize import resize_annotation
from lookright.types import Batch

STEPS, SIZE, CLASSES = 50, 32, 10
METHODS_WITH_A_LOSS = [name for name, info in METHODS.items() if info.loss]


@pytest.fixture(scope="module")
def batch(digits: Path) -> Batch:
    items = [item for item in read_annotations(DataConfig(data=digits)).items if item.split == "train"]
    data = ExplanationDataset(items, image_size=SIZE, mean=[0.5] * 3, std=[0.5] * 3)
    return collate([data[i] for i in range(0, len(data), 4)])


@pytest.fixture(scope="module")
def trained(batch: Batch) -> Callable[[str], nn.Module]:
    """Copies of networks that have learned the labels, without any care for explanations."""
    torch.manual_seed(0)
    networks = {
        "transformer": VisionTransformer(SIZE, 8, num_classes=CLASSES, embed_dim=16, depth=2, num_heads=2),
        "convolutions": nn.Sequential(
            *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)),
        ),
    }
    for network in networks.values():
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(300):
            loss = nn.functional.cross_entropy(network(batch.image), batch.label)
            if loss < 0.3:  # not to the end, where there is no gradient left to compare with
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return lambda kind: copy.deepcopy(networks[kind])


class Looked(NamedTuple):
    """Where a network looks, by the explanation of its loss: a map and the marks on its grid."""

    maps: Tensor
    marks: Tensor


def explanations(model: SupervisedModel, batch: Batch) -> Tensor:
    region = batch.annotation < 0
    explained = explain(model.network, batch.image, batch.label, model.explainers, region=region)
    return explained.explanation.detach()


def look(model: SupervisedModel, batch: Batch) -> Looked:
    maps = explanations(model, batch).mean(dim=1, keepdim=True)
    return Looked(maps, resize_annotation(batch.annotation, (maps.shape[-2], maps.shape[-1])))


def energy_inside(model: SupervisedModel, batch: Batch) -> float:
    """Share of the positive map on the digits."""
    maps, marks = look(model, batch)
    energy = maps.relu()
    inside = (energy * (marks > 0)).sum(dim=(1, 2, 3))
    return (inside / energy.sum(dim=(1, 2, 3)).clamp(min=1e-6)).mean().item()


def height_inside(model: SupervisedModel, batch: Batch) -> float:
    """Mean of the map on the digits."""
    maps, marks = look(model, batch)
    return maps[marks > 0].mean().item()


def right_side(model: SupervisedModel, batch: Batch) -> float:
    """Mean over the marked cells of the map on the digits, and of one minus the map on the patches."""
    maps, marks = look(model, batch)
    return torch.cat([maps[marks > 0], 1 - maps[marks < 0]]).mean().item()


def correlation(model: SupervisedModel, batch: Batch) -> float:
    """Mean correlation of the map with the digits."""
    maps, marks = look(model, batch)
    pairs = torch.stack([maps.flatten(1), marks.clamp(min=0).flatten(1)], dim=1)
    return torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs]).mean().item()


def nothing_on_the_patch(model: SupervisedModel, batch: Batch) -> float:
    """Mean magnitude of the map on the patches, negated."""
    maps, marks = look(model, batch)
    return -maps.abs()[marks < 0].mean().item()


def nothing_off_the_digits(model: SupervisedModel, batch: Batch) -> float:
    """Mean magnitude of the map off the digits, negated."""
    maps, marks = look(model, batch)
    return -maps.abs()[marks <= 0].mean().item()


def without_patch(batch: Batch) -> Tensor:
    return batch.image.where(batch.annotation >= 0, torch.full((), BACKGROUND / 127.5 - 1))


def indifference(model: SupervisedModel, batch: Batch) -> float:
    """Mean distance between probabilities with the patch and without it, negated."""
    with torch.no_grad():
        images = batch.image, without_patch(batch)
        with_it, without = (model.network(image).softmax(dim=1) for image in images)
        return -(with_it - without).abs().mean().item()


def no_contribution(model: SupervisedModel, batch: Batch) -> float:
    """What the patch contributes to the logits less what the rest does, negated."""
    of_patch, of_rest = explanations(model, batch).chunk(2, dim=1)
    return (of_rest - of_patch).mean().item()


AGREEMENT: dict[str, Callable[[SupervisedModel, Batch], float]] = {
    "haics": right_side,
    "res-g": right_side,
    "res-l": right_side,
    "harmonization": correlation,
    "ppce": height_inside,  # it does not mind a map outside
    "gals-match": lambda model, batch: -abs(-height_inside(model, batch) - 1),  # draws -G to 1
    "rrr-star": nothing_off_the_digits,
    "gals-suppress": nothing_off_the_digits,
    "cdep": no_contribution,
    "ibp-ex": indifference,
}
"""What a method is about, other than energy on the digits or nothing on the patch: the higher the better."""


@pytest.mark.parametrize("method", METHODS_WITH_A_LOSS)
def test_descent_lowers_the_loss_and_raises_the_agreement(
    method: str, batch: Batch, trained: Callable[[str], nn.Module]
) -> None:
    torch.manual_seed(0)
    kind, layer = ("transformer", "blocks.0") if method == "robust-vit" else ("convolutions", "5")
    network = trained(kind)
    objective = build_objective(
        TrainConfig(method=method, explanation_weight=3.0), stride=4
    )  # above all the explanation
    model = SupervisedModel(network, GradCAM(network, layer, image_size=SIZE), objective)
    model.ratio = GradientRatio(objective, steps=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    usual = energy_inside if METHODS[method].loss.uses.startswith("positive") else nothing_on_the_patch
    agreement = AGREEMENT.get(method, usual)

    before, losses = agreement(model, batch), []
    for _ in range(STEPS):
        step = model(batch)
        optimizer.zero_grad()
        step.total.backward()
        optimizer.step()
        losses.append(step.explanation_loss.item())
    assert losses[-1] < losses[0]
    assert agreement(model, batch) > before
