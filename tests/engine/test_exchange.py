"""Exchanged backgrounds, cell by cell, and where they are exchanged in a network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import assert_close_logs
from torch import Tensor

from lookright.config import TrainConfig
from lookright.engine.boundary import find_boundary
from lookright.engine.exchange import BackgroundExchange, exchanging
from lookright.engine.setup import set_up
from lookright.engine.supervised import SupervisedModel
from lookright.engine.train import train
from lookright.models import create
from lookright.types import Batch


def named_cells(images: int, side: int) -> Tensor:
    """Maps whose values say which image and cell they are of."""
    cells = torch.arange(side * side).view(1, 1, side, side)
    return (100 * torch.arange(images).view(-1, 1, 1, 1) + cells).float().expand(-1, 2, -1, -1).clone()


def marks(kind: str, images: int, side: int) -> Tensor:
    """The first row of the images is positive, or the last one negative, or both."""
    drawn = torch.zeros(images, 1, side, side)
    if kind != "negative":
        drawn[:, :, 0] = 1.0
    if kind != "positive":
        drawn[:, :, -1] = -1.0
    return drawn


@pytest.mark.parametrize("kind", ["positive", "negative", "both"])
def test_cells_outside_come_from_outside_of_one_other_image(kind: str) -> None:
    torch.manual_seed(0)
    maps, drawn = named_cells(8, 4), marks(kind, 8, 4)
    drawn[3, :, 1] = drawn[3, :, 0].clamp(min=0)  # less of it is outside, where positive marks decide
    changed = BackgroundExchange()(maps, drawn, torch.ones(8, dtype=torch.bool))
    outside = drawn <= 0 if kind == "positive" else drawn < 0
    for i in range(8):
        assert torch.equal(changed[i][~outside[i].expand(2, -1, -1)], maps[i][~outside[i].expand(2, -1, -1)])
        lent = changed[i][:, outside[i, 0]]
        assert torch.equal(lent[0], lent[1]), "all channels of a cell move together"
        (partner,) = set((lent[0] // 100).int().tolist())
        cells = (lent[0] % 100).long()
        assert outside[partner].flatten()[cells].all()
        there = outside[partner, 0][outside[i, 0]]
        assert torch.equal(cells[there], outside[i, 0].flatten().nonzero()[:, 0][there]), "in their place"


def test_every_other_image_lends_equally_often() -> None:
    torch.manual_seed(0)
    maps, drawn = named_cells(5, 2), marks("positive", 5, 2)
    annotated = torch.tensor([True, True, True, False, True])
    drawn[4] = 1.0  # nothing is outside
    counts = torch.zeros(5)
    for _ in range(400):
        changed = BackgroundExchange()(maps, drawn, annotated)
        assert torch.equal(changed[3:], maps[3:])
        counts[int(changed[0, 0, 1, 0]) // 100] += 1
    assert counts[[0, 3, 4]].sum() == 0
    assert counts[1] == pytest.approx(200, abs=40)  # four standard deviations


def test_no_image_lends_to_itself() -> None:
    torch.manual_seed(0)
    maps, drawn = named_cells(2, 2), marks("positive", 2, 2)
    for _ in range(20):
        changed = BackgroundExchange()(maps, drawn, torch.tensor([True, True]))
        assert torch.equal(changed[:, :, 1], maps.flip(0)[:, :, 1])


def test_share_is_of_the_images() -> None:
    torch.manual_seed(0)
    maps, drawn = named_cells(400, 2), marks("positive", 400, 2)
    changed = BackgroundExchange(0.25)(maps, drawn, torch.ones(400, dtype=torch.bool))
    assert (changed != maps).flatten(1).any(dim=1).sum() == pytest.approx(100, abs=35)


def test_without_lenders_nothing_changes() -> None:
    maps = named_cells(3, 2)
    for drawn in (torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)):
        assert torch.equal(BackgroundExchange()(maps, drawn, torch.ones(3, dtype=torch.bool)), maps)
    drawn = torch.ones(3, 1, 2, 2)
    drawn[1, :, 0] = -1.0  # the one that could lend has nobody to borrow from
    assert torch.equal(BackgroundExchange()(maps, drawn, torch.ones(3, dtype=torch.bool)), maps)


def test_gradients_stay_with_the_image() -> None:
    torch.manual_seed(0)
    maps = named_cells(4, 2).requires_grad_()
    drawn = marks("positive", 4, 2)
    BackgroundExchange()(maps, drawn, torch.ones(4, dtype=torch.bool)).sum().backward()
    assert maps.grad is not None
    assert torch.equal(maps.grad, (drawn > 0).float().expand(-1, 2, -1, -1))


@pytest.mark.parametrize(
    ("backbone", "scope", "layer"),
    [
        ("resnet18", "all", "layer3"),
        ("resnet18", "last-stage", "layer3"),
        ("resnet18", "head", "layer4"),
        ("tf_efficientnet_lite0", "last-stage", "blocks.5"),
        ("convnext_atto", "last-stage", "stages.2"),
        ("vit_tiny_patch16_224", "last-stage", "blocks.10"),
        ("swin_tiny_patch4_window7_224", "last-stage", "layers.2"),
    ],
)
def test_exchanges_below_what_learns(backbone: str, scope: str, layer: str) -> None:
    size = 224 if "swin" in backbone else 64
    network = create(backbone, num_classes=2, image_size=size).network.eval()
    boundary = find_boundary(network, scope, image_size=size)  # type: ignore[arg-type]
    assert boundary.layer == layer
    given: list[Tensor] = []
    torch.manual_seed(0)
    image, drawn = torch.rand(3, 3, size, size), torch.zeros(3, 1, size, size)
    drawn[..., : size // 2] = 1.0
    batch = Batch(image, torch.zeros(3).long(), drawn, torch.ones(3, dtype=torch.bool), ("a", "b", "c"))
    with torch.no_grad(), exchanging(BackgroundExchange(), network, boundary, batch):
        handle = network.get_submodule(layer).register_forward_hook(lambda m, i, o: given.append(o))
        network(image)
        handle.remove()
    handle = network.get_submodule(layer).register_forward_hook(lambda m, i, o: given.append(o))
    with torch.no_grad():
        network(image)
    handle.remove()
    changed, own = given
    assert changed.shape == own.shape
    same = torch.isclose(changed, own)
    assert 0.4 < same.float().mean() < 0.99
    assert not same.all()


def test_only_training_exchanges(options: Callable[..., TrainConfig]) -> None:
    setup = set_up(options(method="exchange", train="head"))
    model = SupervisedModel(
        setup.classifier.network, setup.explainer, setup.objective, exchange=setup.exchange
    )
    samples = [setup.train[i] for i in range(6)]
    batch = Batch(
        torch.stack([s.image for s in samples]),
        torch.tensor([s.label for s in samples]),
        torch.stack([s.annotation for s in samples]),
        torch.ones(6, dtype=torch.bool),
        tuple(s.id for s in samples),
    )
    torch.nn.init.normal_(setup.classifier.network.head.weight)
    plain = model.eval()(batch).logits
    assert torch.equal(plain, model(batch).logits)
    assert not torch.allclose(plain, model.train()(batch).logits)


@pytest.mark.parametrize("method", ["exchange", "exchange(share=0.5) + evidence(overlap=1)"])
@pytest.mark.parametrize("scope", ["head", "last-stage", "all"])
def test_trains_the_same_with_and_without_cached_features(
    method: str, scope: str, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    runs = [
        train(options(out=tmp_path / str(cached), method=method, train=scope, cache_features=cached))
        for cached in (True, False)
    ]
    assert_close_logs(*runs)
