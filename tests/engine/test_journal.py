"""Which epoch is kept, and when training stops."""

from collections.abc import Callable

import pytest
import torch

from lookright.config import TrainConfig
from lookright.engine.checkpoint import load_checkpoint
from lookright.engine.journal import Journal
from lookright.engine.setup import set_up
from lookright.errors import CheckpointError, ConfigError

# balanced accuracy and IoU by epoch
EPOCHS = [(0.5, 0.3), (0.9, 0.1), (0.8, 0.4), (0.9, 0.1), (0.6, 0.5), (0.7, 0.2)]
BEST = {"performance": 3, "reasonability": 4, "both": 2, "last": 5}


def journal(config: TrainConfig) -> Journal:
    setup = set_up(config)
    optimizer = torch.optim.AdamW(setup.classifier.network.parameters())
    return Journal(config, setup, optimizer, "cpu", "lookright train ...")


def row(epoch: int, accuracy: float | None, iou: float | None) -> dict[str, float | int | None]:
    figures = {} if accuracy is None else {"val_balanced_accuracy": accuracy, "val_iou": iou}
    return {"epoch": epoch, "seconds": 1.0} | figures


@pytest.mark.parametrize("rule", BEST)
def test_the_rule_picks_the_epoch_and_of_equals_the_later(
    rule: str, options: Callable[..., TrainConfig]
) -> None:
    kept = journal(options(best=rule))
    said = [kept.add(row(epoch, *figures)) for epoch, figures in enumerate(EPOCHS)]
    assert kept.best_epoch == BEST[rule]
    assert max(epoch for epoch, is_best in enumerate(said) if is_best) == BEST[rule]
    assert kept.facts("finished")["best_epoch"] == BEST[rule]
    values = {"performance": 0.9, "reasonability": 0.5, "both": 0.6, "last": 6}
    assert kept.facts("finished")["best_value"] == pytest.approx(values[rule])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 5), (5, 6), (None, 6)])
def test_patience(patience: int | None, epochs: int, options: Callable[..., TrainConfig]) -> None:
    kept = journal(options(patience=patience, best="performance"))
    for epoch, figures in enumerate(EPOCHS):
        if kept.out_of_patience():
            break
        kept.add(row(epoch, *figures))
    assert len(kept.rows) == epochs


@pytest.mark.parametrize(
    ("seen", "stops_after"),
    [
        ([None, None, None, None], None),
        ([None, None, None, None, 0.5, None, None, None, None], None),
        ([None, None, 0.5, None, None, 0.4], 6),
        ([0.5, None, None, None, None, 0.6], None),
        ([0.5, None, None, None, None, 0.4], 6),
    ],
)
def test_patience_waits_for_an_epoch_that_somebody_looked_at(
    seen: list[float | None], stops_after: int | None, options: Callable[..., TrainConfig]
) -> None:
    kept = journal(options(patience=3, best="performance"))
    stopped = None
    for epoch, accuracy in enumerate(seen):
        kept.add(row(epoch, accuracy, 0.5))
        if stopped is None and kept.out_of_patience():
            stopped = epoch + 1
    assert stopped == stops_after


def test_where_the_last_epoch_is_the_best_patience_ends_nothing(options: Callable[..., TrainConfig]) -> None:
    kept = journal(options(patience=1, best="last"))
    for epoch, figures in enumerate(EPOCHS):
        kept.add(row(epoch, *figures))
        assert not kept.out_of_patience()


def test_without_validation_images_the_last_epoch_is_kept(options: Callable[..., TrainConfig]) -> None:
    kept = journal(options(best="both"))
    assert all(kept.add(row(epoch, None, None)) for epoch in range(3))
    assert kept.best_epoch == 2


def test_an_epoch_that_nobody_looked_at_is_not_the_best(options: Callable[..., TrainConfig]) -> None:
    kept = journal(options(best="both"))
    kept.add(row(0, None, None))
    assert kept.facts("running")["best_value"] is None  # JSON has no infinity
    for epoch, figures in enumerate([(None, None), (0.5, 0.5), (None, None)], start=1):
        kept.add(row(epoch, *figures))
    assert (kept.best_epoch, kept.best_value) == (2, 0.5)


def test_an_epoch_before_supervision_is_not_the_best(options: Callable[..., TrainConfig]) -> None:
    kept = journal(options(best="performance", patience=2))
    kept.setup.classifier.network(torch.rand(2, 3, 32, 32)).sum().backward()
    kept.optimizer.step()
    said = [
        kept.add(row(epoch, accuracy, 0.5), is_supervised=epoch > 1)
        for epoch, accuracy in enumerate([0.9, 0.8, 0.5, 0.6])
    ]
    assert said == [True, True, True, True], "until one counts the last is kept"
    assert (kept.best_epoch, kept.best_value) == (3, 0.6)
    assert not kept.out_of_patience()
    kept.save(is_best=True)
    kept.flush()
    other = journal(options(best="performance", patience=2, out=kept.folder.path))
    assert other.restore()
    assert other.unsupervised == 2
    assert not other.out_of_patience(), "they do not come to count when the run goes on"


@pytest.mark.parametrize("rule", ["reasonability", "both"])
def test_a_rule_without_the_figure_that_it_needs(rule: str, options: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=f"best: {rule} needs annotated validation images"):
        journal(options(best=rule)).add(row(0, 0.5, None))


def test_the_best_checkpoint_is_that_of_the_best_epoch(options: Callable[..., TrainConfig]) -> None:
    kept = journal(options())
    network = kept.setup.classifier.network
    for epoch, figures in enumerate(EPOCHS):
        with torch.no_grad():
            network.head.bias.fill_(epoch)
        kept.save(kept.add(row(epoch, *figures)))
        assert not kept.folder.last.exists(), "it is in memory until it is due"
    with torch.no_grad():
        network.head.bias.fill_(-1)  # training goes on
    kept.flush()
    for file, epoch in ((kept.folder.best, 3), (kept.folder.last, 5)):
        tensors, facts = load_checkpoint(file)
        assert tensors["network/head.bias"].unique().item() == epoch
        assert len(facts["log"]) == epoch + 1


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_the_state_is_read_once_and_copied_where_it_waits(
    seconds: float, options: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = journal(options())
    monkeypatch.setattr("lookright.engine.journal.WRITE_SECONDS", seconds)
    asked: list[bool] = []
    read = kept._state.read

    def note(*, copied: bool = False) -> dict[str, torch.Tensor]:
        asked.append(copied)
        return read(copied=copied)

    monkeypatch.setattr(kept._state, "read", note)
    kept.save(kept.add(row(0, 0.5, 0.5)))
    assert asked == [seconds > 0]
    assert kept.folder.last.exists() == (seconds == 0)


def test_restores_what_was_saved(options: Callable[..., TrainConfig]) -> None:
    one = journal(options(method="res-l"))
    one.setup.classifier.network(torch.rand(2, 3, 32, 32)).sum().backward()
    one.optimizer.step()
    one.save(one.add(row(0, 0.5, 0.25)))
    one.flush()
    other = journal(options(method="res-l", seed=1))
    assert other.restore()
    for left, right in ((one.setup.classifier.network, other.setup.classifier.network),):
        assert all(
            torch.equal(a, b)
            for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True)
        )
    imputers = [j.setup.objective.losses[0].imputer.layers[0].weight for j in (one, other)]
    assert torch.equal(*imputers)
    assert other.rows == one.rows
    assert (other.best_value, other.best_epoch) == (0.5, 0)


def test_nothing_to_restore(options: Callable[..., TrainConfig]) -> None:
    assert not journal(options()).restore()


def test_what_cannot_be_gone_on_from_is_said(options: Callable[..., TrainConfig]) -> None:
    one = journal(options(method="res-l"))
    one.setup.classifier.network(torch.rand(2, 3, 32, 32)).sum().backward()
    one.optimizer.step()
    one.save(one.add(row(0, 0.5, 0.25)))
    one.flush()
    with pytest.raises(CheckpointError, match=r"last\.safetensors: these weights are of another network"):
        journal(options(method="res-l", backbone="small_runs:plain")).restore()
    with pytest.raises(CheckpointError, match=r"last\.safetensors: these weights are of another network"):
        journal(options(method="res-g")).restore()
    one.folder.last.write_bytes(one.folder.best.read_bytes())
    with pytest.raises(CheckpointError, match="holds no state of the optimizer"):
        journal(options(method="res-l")).restore()
