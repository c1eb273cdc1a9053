"""A run that was stopped, however it was, goes on as if it had not been: to the bit, on a CPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import Killed, assert_same_run, kill_in_step, log

from lookright import cli
from lookright.config import TrainConfig
from lookright.engine import journal
from lookright.engine.run_folder import RunFolder
from lookright.engine.supervised import SupervisedModel
from lookright.engine.train import train
from lookright.types import Batch

EPOCHS = 4

VARIANTS = {
    "learned imputer": {"method": "res-l"},
    "learned imputer that sees the image": {"method": "res-l", "imputer": "d2", "regularizer": 0.1},
    "frozen part cached": {"method": "res-l", "train": "last-stage", "flip": True},
    "pointwise convolutions": {"backbone": "resnet18", "train": "last-stage", "guard": False},
    "frozen part not cached": {"method": "gradia", "train": "last-stage", "cache_features": False},
    "accumulated": {"method": "evidence", "overlap": 0.5, "accumulate": 2, "batch_size": 10},
    "baseline": {"method": "baseline"},
    "validated now and then": {"method": "baseline", "validate_every": 2},
    "reasonability decides": {"method": "haics", "best": "both", "patience": 10},
}


def resume(run: Path) -> None:
    cli.main(["train", "--config", str(run / "config.yaml"), "--resume"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_and_resumed_equals_uninterrupted(
    variant: str, options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(options(out=tmp_path / "straight", epochs=EPOCHS, **VARIANTS[variant]))
    config = options(out=tmp_path / "killed", epochs=EPOCHS, **VARIANTS[variant])
    with monkeypatch.context() as patch:
        patch.setattr(journal, "WRITE_SECONDS", 0.0)
        kill_in_step(patch, step=2 * -(-40 // config.batch_size) + 1)  # in the middle of epoch 2
        with pytest.raises(Killed):
            train(config)
    killed = RunFolder(tmp_path / "killed")
    assert len(log(killed)) == 2
    trained = []
    with monkeypatch.context() as patch:
        forward = SupervisedModel.forward
        patch.setattr(
            SupervisedModel, "forward", lambda self, batch: trained.append(1) or forward(self, batch)
        )
        resume(killed.path)
    assert len(trained) == 2 * -(-40 // config.batch_size), "finished epochs are not trained again"
    assert_same_run(straight, killed)
    assert straight.best.read_bytes()[-1000:] == killed.best.read_bytes()[-1000:]
    assert killed.facts()["status"] == "finished"
    assert killed.facts()["best_epoch"] == straight.facts()["best_epoch"]


def test_same_options_give_the_same_run_and_another_seed_another(
    options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    runs = [
        train(options(out=tmp_path / name, method="res-l", seed=seed))
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    ]
    assert_same_run(runs[0], runs[1])
    assert log(runs[0]) != log(runs[2])


def test_killed_in_the_first_epoch(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(options(out=tmp_path / "straight", method="res-l"))
    with monkeypatch.context() as patch:
        kill_in_step(patch, step=1)
        with pytest.raises(Killed):
            train(options(out=tmp_path / "killed", method="res-l"))
    resume(tmp_path / "killed")
    assert_same_run(straight, tmp_path / "killed")


def test_killed_between_the_two_checkpoints(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """best.safetensors is an epoch ahead of last.safetensors then."""
    straight = train(options(out=tmp_path / "straight", best="last"))
    killed = RunFolder(tmp_path / "killed")
    save = journal.save_checkpoint

    def dying(path: Path, *rest: object) -> None:
        if path == killed.last and path.exists():
            raise Killed
        save(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "WRITE_SECONDS", 0.0)
        patch.setattr(journal, "save_checkpoint", dying)
        with pytest.raises(Killed):
            train(options(out=killed.path, best="last"))
    resume(killed.path)
    assert_same_run(straight, killed)


def test_killed_some_epochs_after_the_last_writing(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoint, log and facts are all of the epoch that was written, and the run goes on from it."""
    straight = train(options(out=tmp_path / "straight", epochs=EPOCHS))
    killed = RunFolder(tmp_path / "killed")
    with monkeypatch.context() as patch:
        save, seconds = journal.Journal.save, iter([9.0, 0.0, 9.0, 9.0])

        def timed(self: journal.Journal, is_best: bool) -> None:
            patch.setattr(journal, "WRITE_SECONDS", next(seconds))
            save(self, is_best)

        patch.setattr(journal.Journal, "save", timed)
        kill_in_step(patch, step=3 * 2 + 1)  # in the last epoch
        with pytest.raises(Killed):
            train(options(out=killed.path, epochs=EPOCHS))
    assert len(log(killed)) == killed.facts()["epochs_done"] == 2
    resume(killed.path)
    assert_same_run(straight, killed)
    assert straight.best.read_bytes()[-1000:] == killed.best.read_bytes()[-1000:]


def test_killed_before_anything_was_written(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(options(out=tmp_path / "straight"))
    killed = RunFolder(tmp_path / "killed")
    with monkeypatch.context() as patch:
        kill_in_step(patch, step=3)
        with pytest.raises(Killed):
            train(options(out=killed.path))
    assert not killed.last.exists()
    assert not killed.log_file.exists()
    resume(killed.path)
    assert_same_run(straight, killed)


@pytest.mark.parametrize("error", [RuntimeError("a GPU is lost"), KeyboardInterrupt()], ids=repr)
def test_what_is_in_memory_is_written_when_a_run_fails(
    error: BaseException, options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, steps = SupervisedModel.forward, iter(range(99))

    def failing(self: SupervisedModel, batch: Batch) -> object:
        if next(steps) == 5:  # in epoch 2, when the weights have moved on
            raise error
        return forward(self, batch)

    straight = train(options(out=tmp_path / "straight", epochs=EPOCHS))
    failed = RunFolder(tmp_path / "failed")
    with monkeypatch.context() as patch:
        patch.setattr(SupervisedModel, "forward", failing)
        with pytest.raises(type(error)):
            train(options(out=failed.path, epochs=EPOCHS))
    assert failed.facts()["status"] == ("failed" if isinstance(error, RuntimeError) else "interrupted")
    assert len(log(failed)) == failed.facts()["epochs_done"] == 2
    resume(failed.path)
    assert_same_run(straight, failed)


def test_resuming_a_finished_run_changes_nothing(options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    folder = train(options())
    before = {file.name: file.read_bytes() for file in folder.path.rglob("*.safetensors")}
    train(options(resume=True))
    assert {file.name: file.read_bytes() for file in folder.path.rglob("*.safetensors")} == before


STOPPED = """
import os, signal, sys
from lookright.cli import main
from lookright.engine import journal
from lookright.engine.supervised import SupervisedModel
forward, steps, sent = SupervisedModel.forward, iter(range(99)), int(sys.argv.pop(1))
def stopping(self, batch):
    if next(steps) == 5:
        os.kill(os.getpid(), sent)
    return forward(self, batch)
SupervisedModel.forward = stopping
if sent == signal.SIGKILL:  # the other one writes what is in memory alone
    journal.WRITE_SECONDS = 0.0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
main()
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_real_signal_to_a_real_process(
    sent: signal.Signals, digits: Path, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    run = tmp_path / "stopped run"
    arguments = (
        f"train {digits} --method res-l --backbone small_cnn --weights none --train last-stage "
        f"--image-size 32 --epochs 4 --batch-size 20 --accelerator cpu --out"
    )
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(sent)), *arguments.split(), str(run)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    folder = RunFolder(run)
    assert len(log(folder)) == 2
    if sent == signal.SIGINT:
        assert done.returncode == 130
        assert "Traceback" not in done.stderr
        told = f"lookright train --config '{folder.config_file}' --resume"
        assert told in done.stdout + done.stderr
        assert folder.facts()["status"] == "interrupted"
    else:
        assert done.returncode == -signal.SIGKILL
        assert folder.facts()["status"] == "running"
    assert folder.facts()["command"].startswith(f"lookright train {digits} --method res-l")
    resume(run)
    straight = options(out=tmp_path / "straight", method="res-l", train="last-stage", epochs=4)
    assert_same_run(train(straight), run)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lr": 0.5}, f"lr {TrainConfig().lr} -> 0.5"),
        ({"method": "res-l", "seed": 7}, "method res-g -> res-l; seed 0 -> 7"),
        ({"start": Path("else.safetensors")}, "from None -> "),
        ({"epochs": 9}, "epochs 2 -> 9"),
    ],
    ids=["lr", "two", "from", "epochs"],
)
def test_other_options_are_refused_by_name(
    finished: Path, digits: Path, changes: dict[str, object], told: str
) -> None:
    folder = RunFolder(finished)
    before = folder.log_file.read_text()
    with pytest.raises(ValueError, match="resume: the options differ") as error:
        folder.create(replace(folder.config(), resume=True, **changes))
    assert told in str(error.value)
    assert folder.log_file.read_text() == before


@pytest.mark.parametrize("changes", [{"workers": 3}, {"cache_gb": 0.0}, {"guard": False}])
def test_what_changes_no_result_may_change(finished: Path, changes: dict[str, object]) -> None:
    folder = RunFolder(finished)
    folder.create(replace(folder.config(), resume=True, **changes))
