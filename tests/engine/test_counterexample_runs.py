"""Counterexamples in a training run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import assert_same_run, log, number

from lookright.config import TrainConfig
from lookright.engine.processes import make_fabric
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.engine.trainer import Trainer
from lookright.types import Batch


def batches(config: TrainConfig, epoch: int) -> list[Batch]:
    trainer = Trainer(make_fabric(config), config, set_up(config), "")
    trainer.sampler.set_epoch(0)
    trainer.setup.train.set_epoch(0)
    return [batch for group in trainer._groups(epoch) for batch in group]


def test_they_come_with_each_batch(options: Callable[..., TrainConfig]) -> None:
    config = options(method="ce(copies=2, fill=constant)")
    plain, more, other = (batches(replace(config, method=m), 0) for m in ("baseline", config.method, "ce"))
    for without, having, single in zip(plain, more, other, strict=True):
        assert len(having.label) == 3 * len(without.label)  # every digit has a decoy that is marked negative
        assert len(single.label) == 2 * len(without.label)
        assert torch.equal(having.image[: len(without.label)], without.image)
        assert int(having.annotated.sum()) == int(without.annotated.sum())
    again, later = batches(config, 0), batches(config, 1)
    assert torch.equal(again[0].image, more[0].image)
    assert not torch.equal(later[0].image, more[0].image)


def test_features_are_not_cached(options: Callable[..., TrainConfig]) -> None:
    config = options(method="ce", train="head")
    assert Trainer(make_fabric(config), config, set_up(config), "").trunk is None


def test_same_options_give_the_same_run(options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    one, two = (train(options(method="ce", out=tmp_path / name, accumulate=2)) for name in ("a", "b"))
    assert_same_run(one, two)


@pytest.mark.parametrize("method", ["ce", "ce + gradia"])
def test_copies_count_like_images(method: str, options: Callable[..., TrainConfig]) -> None:
    """The mean over an epoch of one step without learning is the cross-entropy of images and copies."""
    config = options(method=method, epochs=1, batch_size=40, lr=1e-12, flip=False)
    setup = set_up(config)
    (batch,) = batches(config, 0)
    setup.classifier.network.train()
    with torch.no_grad():
        logits = setup.classifier.network(batch.image)
        expected = torch.nn.functional.cross_entropy(logits, batch.label)
    assert len(batch.label) == 80
    assert number(log(train(config))[0]["prediction_loss"]) == pytest.approx(expected.item(), abs=1e-4)
