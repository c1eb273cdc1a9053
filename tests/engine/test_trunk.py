"""Features of the frozen part, served from memory, change nothing but the time."""

from collections.abc import Callable

import pytest
import torch
from small_runs import assert_close_logs
from torch import Tensor, nn

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, collate
from lookright.engine.channels_last import place
from lookright.engine.frozen_units import frozen_units
from lookright.engine.setup import Setup, set_up
from lookright.engine.train import train
from lookright.engine.trunk import FrozenTrunk
from lookright.models import apply_scope, set_train_mode
from lookright.types import Batch, Request, Sample
from networks import FAMILIES, IMAGE_SIZE

UNITS = {
    "small_cnn": ["features.0", "features.1"],
    "resnet18": ["conv1", "bn1", "layer1", "layer2", "layer3"],
    "tf_efficientnet_lite0": ["conv_stem", "bn1", *(f"blocks.{i}" for i in range(6))],
    "densenet121": [
        *("features.conv0", "features.norm0"),
        *(f"features.{kind}{i}" for i in (1, 2, 3) for kind in ("denseblock", "transition")),
    ],
}


def prepared(config: TrainConfig, **kwargs: int) -> tuple[Setup, FrozenTrunk]:
    setup = set_up(config)
    trunk = FrozenTrunk(
        setup.classifier.network, setup.explainer.layer_names, image_size=config.image_size, **kwargs
    )
    return setup, trunk


def mixed_batch(dataset: ExplanationDataset) -> Batch:
    """Images as they are and mirrored ones."""
    return collate([dataset.sample(i, mirrored=i % 2 == 1) for i in range(6)])


def stepped(setup: Setup, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Logits, map, and the gradients of both by the weights."""
    network = setup.classifier.network
    set_train_mode(network, freeze_batchnorm=True)
    explained = setup.explainer(batch.image, batch.label, Request())
    network.zero_grad()
    (explained.logits.square().mean() + explained.explanation.square().mean()).backward()
    return (
        explained.logits.detach(),
        explained.explanation.detach(),
        {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None},
    )


def test_features_do_not_depend_on_how_many_are_computed(
    options: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks give other bits for few images at a time than for many."""
    run = FrozenTrunk._run
    monkeypatch.setattr(FrozenTrunk, "_run", lambda trunk, image: run(trunk, image) + 1e-6 * len(image))
    given = []
    for images_per_class in (1, 4):
        setup, trunk = prepared(options(train="last-stage", train_per_class=images_per_class))
        assert trunk.fill([setup.train], "cpu")
        keys = [(item.id, False) for item in setup.train.items]
        given.append(dict(zip(keys, trunk.features.gather(keys), strict=True)))
    few, many = given
    assert len(few) == 10
    assert all(torch.equal(few[key], many[key]) for key in few)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("backbone", UNITS)
def test_finds_and_replaces_the_frozen_part(
    backbone: str, channels_last: bool, options: Callable[..., TrainConfig]
) -> None:
    size = 32 if backbone == "small_cnn" else 64
    setup, trunk = prepared(
        options(backbone=backbone, train="last-stage", image_size=size, train_per_class=1, flip=True)
    )
    assert trunk.units == UNITS[backbone]
    assert trunk.fill([setup.train], "cpu", batch_size=8)
    assert len(trunk.features) == 2 * len(setup.train)
    batch = mixed_batch(setup.train)

    ran = []
    inner = [
        setup.classifier.network.get_submodule(unit).register_forward_hook(
            lambda module, args, output: ran.append(output.shape)
        )
        for unit in trunk.units[:1]
    ]
    logits, maps, gradients = stepped(setup, batch)
    assert len(ran) == 1
    ran.clear()
    if channels_last:
        place(setup.classifier.network, "cpu")
    with trunk.serving(batch):
        served_logits, served_maps, served_gradients = stepped(setup, batch)
    assert ran in ([], [batch.image.shape]), "the image was handed through, not convolved"
    for handle in inner:
        handle.remove()
    torch.testing.assert_close(served_logits, logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(served_maps, maps, rtol=1e-2, atol=2e-3)
    assert served_gradients.keys() == gradients.keys()
    scale = max(g.abs().max() for g in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(served_gradients[name], gradient, rtol=1e-2, atol=float(2e-3 * scale))


@pytest.mark.parametrize("method", ["res-l", "evidence"])
@pytest.mark.parametrize("scope", ["last-stage", "head"])
def test_a_cached_run_is_the_uncached_one(
    method: str, scope: str, options: Callable[..., TrainConfig], tmp_path: object
) -> None:
    runs = [
        train(
            options(out=tmp_path / str(cached), method=method, train=scope, cache_features=cached, flip=True)
        )
        for cached in (True, False)
    ]
    assert_close_logs(*runs)


@pytest.mark.parametrize(
    ("scope", "layer", "last"),
    [
        ("head", None, "layer4"),
        ("head", "layer4.1", "layer4.1"),
        ("last-stage", "layer2", "layer2"),
        ("last-stage", "layer2.0", "layer2.0"),
    ],
)
def test_a_target_layer_in_the_frozen_part_runs(
    scope: str, layer: str | None, last: str, options: Callable[..., TrainConfig]
) -> None:
    setup, trunk = prepared(
        options(backbone="resnet18", train=scope, target_layer=layer, image_size=64, train_per_class=1)
    )
    assert trunk.units[-1] == last
    assert trunk.fill([setup.train], "cpu")
    batch = mixed_batch(setup.train)
    plain = stepped(setup, batch)
    with trunk.serving(batch):
        served = stepped(setup, batch)
    torch.testing.assert_close(served[0], plain[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(served[1], plain[1], rtol=1e-2, atol=2e-3)


def test_a_target_layer_beside_another_branch_is_not_cached(options: Callable[..., TrainConfig]) -> None:
    """The shortcut of the block, frozen too, needs features that are not there."""
    setup, trunk = prepared(
        options(backbone="resnet18", train="last-stage", target_layer="layer2.0.conv1", image_size=64)
    )
    assert not trunk.fill([setup.train], "cpu")
    assert len(trunk.features) == 0


def test_serving_leaves_the_image_alone(options: Callable[..., TrainConfig]) -> None:
    """Between the frozen parts of a ResNet stands a ReLU that works in place."""
    setup, trunk = prepared(
        options(backbone="resnet18", train="last-stage", image_size=64, train_per_class=1)
    )
    assert trunk.fill([setup.train], "cpu")
    batch = mixed_batch(setup.train)
    before = batch.image.clone()
    with trunk.serving(batch), torch.no_grad():
        setup.classifier.network(batch.image)
    assert torch.equal(batch.image, before)


def test_nothing_frozen_gives_no_cache(options: Callable[..., TrainConfig]) -> None:
    setup, trunk = prepared(options(train="all"))
    assert trunk.units == []
    assert not trunk.fill([setup.train], "cpu")
    batch = mixed_batch(setup.train)
    with trunk.serving(batch):
        assert "forward" not in setup.classifier.network.features[0].__dict__


def test_the_limit_is_kept(options: Callable[..., TrainConfig]) -> None:
    config = options(train="last-stage", flip=False)
    setup, trunk = prepared(config)
    assert trunk.fill([setup.train], "cpu")
    needed = trunk.features.nbytes
    for limit, fits in ((needed, True), (needed - 1, False)):
        setup, trunk = prepared(config, limit_bytes=limit)
        assert trunk.fill([setup.train], "cpu") is fits
        assert (len(trunk.features) > 0) is fits


@pytest.mark.parametrize("own", [False, True], ids=["method of the class", "forward of its own"])
def test_the_network_is_as_before_even_when_it_raises(own: bool, options: Callable[..., TrainConfig]) -> None:
    setup, trunk = prepared(options(train="last-stage"))
    network = setup.classifier.network
    first = network.features[0]
    wrapped = first.forward
    if own:
        first.forward = wrapped = lambda x, forward=first.forward: forward(x)
    assert trunk.fill([setup.train], "cpu")
    batch = mixed_batch(setup.train)
    expected = network.eval()(batch.image)

    def broken(*_: object) -> None:
        raise RuntimeError("the network raises")

    handle = network.head.register_forward_hook(broken)
    with pytest.raises(RuntimeError, match="the network raises"), trunk.serving(batch):
        network(batch.image)
    handle.remove()
    assert ("forward" in first.__dict__) is own
    assert not own or first.forward is wrapped
    assert torch.equal(network(batch.image), expected)


def test_hooks_are_gone_and_modes_as_before(options: Callable[..., TrainConfig]) -> None:
    setup, trunk = prepared(options(train="last-stage"))
    network = setup.classifier.network
    set_train_mode(network, freeze_batchnorm=True)
    modes = [module.training for module in network.modules()]
    trunk.fill([setup.train], "cpu")
    assert [module.training for module in network.modules()] == modes
    assert all(not module._forward_hooks for module in network.modules())


def test_an_image_that_is_not_there_runs_through_everything(options: Callable[..., TrainConfig]) -> None:
    setup, trunk = prepared(options(train="last-stage"))
    assert trunk.fill([setup.train], "cpu")
    network = setup.classifier.network.eval()
    batch = mixed_batch(setup.train)
    unknown = batch._replace(image=torch.rand_like(batch.image), id=("unknown", *batch.id[1:]))
    with trunk.serving(unknown):
        served = network(unknown.image)
    assert torch.equal(served, network(unknown.image))


class TwoWays(nn.Module):
    """Looks at the image a second time, beside the features: the features alone cannot replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = self.last(self.trunk(x)) + self.trunk(x.flip(-1))
        return self.head(features.mean(dim=(2, 3)))


def test_a_frozen_part_that_runs_twice_is_not_cached() -> None:
    network = TwoWays()
    network.trunk.requires_grad_(False)
    assert frozen_units(network, ["last"], image_size=16) == []


class Beside(TwoWays):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.trunk(x)).mean(dim=(2, 3))) + x.mean()


class Inside(nn.Module):
    """Changes what the frozen part gets: handing the image through would lose that."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return self.head((self.last(self.second(first)) + first).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("network", "cached"), [(Beside(), True), (Inside(), False)], ids=["beside", "inside"]
)
def test_what_the_features_do_not_reproduce_is_not_cached(
    network: nn.Module, cached: bool, options: Callable[..., TrainConfig]
) -> None:
    network.requires_grad_(False)
    for part in (network.last, network.head):
        part.requires_grad_(True)
    setup = set_up(options())
    trunk = FrozenTrunk(network, ["last"], image_size=32)
    assert trunk.units
    assert trunk.fill([setup.train], "cpu") is cached
    assert (len(trunk.features) > 0) is cached


def test_a_vision_transformer_is_served_between_its_blocks() -> None:
    """It adds a class token and positions to its patches: what is passed over has to have their shape."""
    network = FAMILIES["timm vit"]()
    apply_scope(network, "last-stage", image_size=IMAGE_SIZE)
    trunk = FrozenTrunk(network, ["blocks.2.norm1"], image_size=IMAGE_SIZE)
    assert trunk.units[-1] == "blocks.1"
    images, marks = torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE), torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE)
    samples = [Sample(image, 0, marks, False, str(i)) for i, image in enumerate(images)]
    with torch.no_grad():
        features, expected = trunk._run(images), network(images[:2])
        assert trunk._can_serve(samples, features)
        with trunk._serve(features[:2]):
            torch.testing.assert_close(network(torch.zeros_like(images[:2])), expected)
