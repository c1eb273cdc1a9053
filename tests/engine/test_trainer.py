"""What a run trains, in which precision, and what stops it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import assert_close_logs, log, number, tensors
from torch import Tensor

from lookright.config import TrainConfig
from lookright.data import write_decoy_digits
from lookright.engine import checkpoint, journal
from lookright.engine.evaluate import evaluate
from lookright.engine.processes import make_fabric
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import set_up
from lookright.engine.supervised import Step, SupervisedModel
from lookright.engine.train import train
from lookright.engine.trainer import Trainer
from lookright.errors import CheckpointError, ConfigError, DataError, LookrightWarning, NonFiniteError
from lookright.explainers import GradCAM
from lookright.types import Batch


def test_it_learns(tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
    """The decoy tells the class on the validation images too: a few epochs are enough to see it."""
    data = write_decoy_digits(tmp_path / "data", per_class_train=10, per_class_val=3, per_class_test=1)
    rows = log(
        train(
            options(
                data=data, epochs=8, lr=3e-3, flip=False, method="gradia", batch_size=10, weighting="fixed"
            )
        )
    )
    assert number(rows[-1]["loss"]) < 0.9 * number(rows[0]["loss"])
    assert number(rows[-1]["train_accuracy"]) > 0.3
    assert number(rows[-1]["explanation_loss"]) < number(rows[0]["explanation_loss"])


def test_what_a_row_says_adds_up(options: Callable[..., TrainConfig]) -> None:
    folder = train(options(method="evidence", overlap=0.5, explanation_weight=0.5, epochs=3))
    for epoch, row in enumerate(log(folder)):
        assert row["epoch"] == str(epoch)
        parts = number(row["prediction_loss"]) + number(row["explanation_loss"])
        assert number(row["loss"]) == pytest.approx(parts, abs=1e-5)
        assert 0 <= number(row["train_accuracy"]) <= 1
        assert 0 <= number(row["val_iou"]) <= 1
    facts = folder.facts()
    assert facts["status"] == "finished"
    assert facts["epochs_done"] == 3
    assert facts["images"] == {"train": 40, "annotated": 40, "val": 20}
    assert facts["target_layer"] == "features"
    assert facts["classes"] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("scope", "learning"), [("last-stage", ("features.2", "head")), ("head", ("head",))])
def test_the_frozen_part_stays_to_the_bit_statistics_included(
    scope: str, learning: tuple[str, ...], cached: bool, options: Callable[..., TrainConfig]
) -> None:
    config = options(train=scope, batchnorm="train", cache_features=cached, lr=0.01, method="gradia")
    before = set_up(config).classifier.network.state_dict()
    after = tensors(train(config))
    moved = {name for name in before if not torch.equal(before[name], after[f"network/{name}"])}
    assert moved == {name for name in before if name.startswith(learning)}
    assert any("running_mean" in name for name in before if name not in moved)


def test_batchnorm_keeps_its_statistics_where_it_should(
    options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    def statistics(run: object) -> Tensor:
        return tensors(run)["network/features.2.2.running_mean"]

    for scope, batchnorm, moves in (
        ("all", "auto", True),
        ("all", "frozen", False),
        ("last-stage", "auto", False),
        ("last-stage", "train", True),
    ):
        run = train(
            options(out=tmp_path / f"{scope} {batchnorm}", train=scope, batchnorm=batchnorm, epochs=1)
        )
        assert bool(statistics(run).any()) is moves


def test_frozen_imagenet_style_network(options: Callable[..., TrainConfig]) -> None:
    """A real backbone, whose BatchNorm is spread over many blocks."""
    config = options(
        backbone="tf_efficientnet_lite0", image_size=64, train="last-stage", train_per_class=1, epochs=1
    )
    before = set_up(config).classifier.network.state_dict()
    after = tensors(train(config))
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[f"network/{name}"])}
    assert moved == {"blocks", "conv_head", "bn2", "classifier"}
    frozen = [name for name in before if name.startswith(("conv_stem", "bn1", "blocks.0", "blocks.5"))]
    assert frozen
    assert all(torch.equal(before[name], after[f"network/{name}"]) for name in frozen)


@pytest.mark.parametrize("method", ["baseline", "gradia", "haics", "evidence"])
def test_accumulated_gradients_are_those_of_the_large_batch(
    method: str, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """For losses that do not pool, without BatchNorm; annotated images are shared out unevenly."""
    shared = {"method": method, "backbone": "small_runs:plain", "annotated_per_class": 2, "lr": 0.01}
    shared["weighting"] = "fixed"  # ratios are measured per forward pass
    one = train(options(out=tmp_path / "one", batch_size=10, **shared))
    two = train(options(out=tmp_path / "two", batch_size=5, accumulate=2, **shared))
    assert_close_logs(one, two)
    ours, theirs = tensors(one), tensors(two)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_a_remainder_of_accumulated_steps_counts(options: Callable[..., TrainConfig]) -> None:
    """Five batches, two at a time: three steps, the last one alone."""
    folder = train(options(batch_size=8, accumulate=2, epochs=1, schedule="constant", warmup=0.0))
    assert tensors(folder)["optimizer/0/step"] == 3


@pytest.mark.parametrize("scope", ["all", "last-stage"])
def test_bf16_computes_in_bf16_and_loses_in_float32(
    scope: str, options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []
    forward = SupervisedModel.forward

    def recording(self: SupervisedModel, batch: Batch) -> Step:
        handle = self.network.head.register_forward_hook(lambda *given: seen.append(given[2].dtype))
        step = forward(self, batch)
        handle.remove()
        seen.extend(value.dtype for value in (step.total, step.prediction_loss, step.explanation_loss))
        return step

    exact = train(options(out=tmp_path / "32", method="res-l", train=scope))
    monkeypatch.setattr(SupervisedModel, "forward", recording)
    half = train(options(out=tmp_path / "bf16", method="res-l", train=scope, precision="bf16"))
    assert seen[:4] == [torch.bfloat16, torch.float32, torch.float32, torch.float32]
    assert_close_logs_of_training(exact, half)
    assert all(value.dtype is not torch.bfloat16 for value in tensors(half).values())


def assert_close_logs_of_training(exact: object, half: object) -> None:
    for left, right in zip(log(exact), log(half), strict=True):
        assert number(left["loss"]) == pytest.approx(number(right["loss"]), rel=0.05)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"precision": "fp16"}, "precision: fp16 needs a GPU; use bf16 or 32 on a CPU"),
        ({"method": "res-l", "imputer": "s1", "target_layer": "nothing"}, "target_layer: "),
        ({"backbone": "nothing"}, "backbone: "),
        ({"slack": -1.0}, "slack: got -1.0"),
    ],
)
def test_a_refused_run_leaves_no_folder_in_the_way(
    changes: dict[str, object], told: str, options: Callable[..., TrainConfig]
) -> None:
    config = options(**changes)
    with pytest.raises(ConfigError, match=told):
        train(config)
    assert not config.out.exists()


def test_without_tensorboard_no_run_begins(
    options: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = options(tensorboard=True)
    with pytest.raises(ConfigError, match=r"tensorboard: not installed; pip install"):
        train(config)
    assert not config.out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_here(options: Callable[..., TrainConfig]) -> None:
    config = options(accelerator="cuda")
    with pytest.raises(ConfigError, match="accelerator: 'cuda' with 1 device"):
        train(config)
    assert not config.out.exists()


def test_an_existing_run_is_untouched(finished: Path, options: Callable[..., TrainConfig]) -> None:
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    with pytest.raises(ConfigError, match="holds a run already"):
        train(options(out=finished))
    assert {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()} == before


def spoiled_from(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a step on, maps are NaN."""
    weight = GradCAM.weight
    calls = iter(range(10_000))

    def spoiled(self: GradCAM, activation: Tensor, gradient: Tensor) -> Tensor:
        if not self.network.training:
            return weight(self, activation, gradient)
        return weight(self, activation, gradient) * (torch.nan if next(calls) >= step else 1)

    monkeypatch.setattr(GradCAM, "weight", spoiled)


def test_nan_in_a_map_is_said_and_the_run_goes_on_from_before(
    options: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = options(method="evidence", epochs=3)
    with monkeypatch.context() as patch:
        spoiled_from(3, patch)
        with pytest.raises(NonFiniteError) as error:
            train(config)
    message = str(error.value)
    assert message.startswith("epoch 1: the loss is nan because the explanation loss is not finite")
    assert "(batch with images/" in message
    assert "the run is kept up to the epoch before" in message
    folder = RunFolder(config.out)
    assert folder.facts()["status"] == "failed"
    assert len(log(folder)) == 1
    evaluate(folder.path, device="cpu", progress=False)
    train(options(method="evidence", epochs=3, resume=True))
    assert len(log(folder)) == 3


def test_a_learning_rate_that_is_too_large(options: Callable[..., TrainConfig]) -> None:
    config = options(
        method="baseline", backbone="small_runs:plain", lr=1e30, batch_size=10, schedule="constant"
    )
    with pytest.raises(NonFiniteError, match=r"^epoch 0: the loss is .* not finite.*smaller --lr"):
        train(config)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        evaluate(config.out, device="cpu", progress=False)


def test_weights_that_the_last_step_spoiled_are_not_kept(options: Callable[..., TrainConfig]) -> None:
    """The loss of that step was finite: only the next epoch would notice."""
    config = options(batch_size=40)
    setup = set_up(config)
    setup.classifier.network.head.weight.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match="epoch 0: the weights are not finite after its last step"):
        Trainer(make_fabric(config), config, setup, "").run()
    assert not RunFolder(config.out).last.exists()


def test_a_full_disk_loses_nothing(
    options: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = options(best="last")
    save = checkpoint.save_file
    calls = iter(range(100))

    def full(*args: object, **kwargs: object) -> None:
        if next(calls) >= 2:  # best and last of the first epoch
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        patch.setattr(journal, "WRITE_SECONDS", 0.0)
        with pytest.raises(
            DataError, match=r"best\.safetensors: cannot be written \(No space left on device\)"
        ):
            train(config)
    folder = RunFolder(config.out)
    assert len(log(folder)) == 1
    assert [file.name for file in sorted((folder.path / "checkpoints").iterdir())] == [
        "best.safetensors",
        "last.safetensors",
    ]
    evaluate(folder.path, device="cpu", progress=False)
    train(options(best="last", resume=True))
    assert len(log(folder)) == 2


def test_a_damaged_checkpoint_is_said_when_resuming(options: Callable[..., TrainConfig]) -> None:
    folder = train(options(epochs=1))
    folder.last.write_bytes(folder.last.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"last\.safetensors: damaged"):
        train(options(epochs=1, resume=True))


def test_patience_ends_a_run(options: Callable[..., TrainConfig]) -> None:
    folder = train(options(epochs=30, patience=1, lr=1e-9, best="performance", method="baseline"))
    assert len(log(folder)) < 30
    assert folder.facts()["status"] == "finished"


def test_validation_images_are_measured_as_often_as_said(options: Callable[..., TrainConfig]) -> None:
    folder = train(options(epochs=3, validate_every=2, best="performance"))
    assert [row["val_balanced_accuracy"] != "" for row in log(folder)] == [False, True, True]
    assert folder.facts()["best_epoch"] in (1, 2)


def test_the_best_epoch_is_one_whose_explanations_were_supervised(
    options: Callable[..., TrainConfig],
) -> None:
    """A learning rate near 0: all epochs are alike but for rounding, the first ones are on the prediction."""
    facts = train(options(epochs=12, lr=1e-9, best="performance", method="evidence")).facts()
    assert 1 <= facts["unsupervised_epochs"] <= 3
    assert facts["best_epoch"] >= facts["unsupervised_epochs"]
    plain = train(options(out=Path(options().out) / "plain", epochs=1, method="baseline")).facts()
    assert plain["unsupervised_epochs"] == 0


def test_without_validation_images_the_last_epoch_is_kept(
    tmp_path: Path, options: Callable[..., TrainConfig]
) -> None:
    data = write_decoy_digits(tmp_path / "data", per_class_train=2, per_class_val=1, per_class_test=1)
    table = data / "split.csv"
    table.write_text(table.read_text().replace(",val,", ",test,"))
    with pytest.warns(LookrightWarning, match="no image is in the split val"):
        folder = train(options(data=data))
    assert folder.facts()["best_epoch"] == 1


def test_tensorboard(options: Callable[..., TrainConfig]) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(options(tensorboard=True, epochs=2))
    events = event_accumulator.EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("loss")]
    assert logged == pytest.approx([number(row["loss"]) for row in log(folder)])
