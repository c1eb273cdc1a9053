"""Whole runs in two processes (gloo) against one."""

import shlex
import traceback
from functools import partial
from pathlib import Path

import pytest
from lightning_fabric import Fabric
from small_runs import assert_close_logs, small, tensors
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.testing import assert_close

import lookright.engine.train as train_module
from lookright import cli
from lookright.engine.processes import launch
from lookright.engine.run_folder import RunFolder
from lookright.engine.trainer import Trainer
from lookright.errors import DataError, LookrightError, ToldElsewhereError


def test_two_devices_are_one_with_twice_the_batch(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four images a step, one of them annotated: one process never has any."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arguments = (
        f"train {digits} --method res-l --backbone small_runs:plain --weights none --image-size 32 "
        "--epochs 2 --annotated-per-class 1 --lr 0.01 --accelerator cpu --train last-stage"
    ).split()
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    cli.main([*arguments, "--batch-size", "4", "--out", str(one.path)])
    cli.main([*arguments, "--batch-size", "2", "--devices", "2", "--out", str(two.path)])
    assert_close_logs(one, two)
    ours, theirs = tensors(one), tensors(two)
    for name in ours:
        if name.endswith("imputer.layers.0.bias"):
            continue  # min-max is blind to it: its gradient is rounding, of which Adam makes whole steps
        assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
    assert two.facts()["command"] == shlex.join(
        ["lookright", *arguments, "--batch-size", "2", "--devices", "2", "--out", str(two.path)]
    )


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        ("running", DataError("a.png: damaged"), "failed"),
        ("running", RuntimeError("a GPU is lost"), "failed"),
        ("running", KeyboardInterrupt(), "running"),  # the first process got the signal too
        ("interrupted", RuntimeError("another process has left"), "interrupted"),
        ("finished", RuntimeError("another process has left"), "finished"),
    ],
)
@pytest.mark.parametrize("where", ["second process", "parent"])
def test_a_failure_of_any_process_is_told(
    where: str,
    status: str,
    error: BaseException,
    told: str,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is not the first one says so in run.json; or, when all have ended, their parent."""
    config = small(digits, tmp_path / "run", devices=2)
    folder = RunFolder(tmp_path / "run")

    def failing(*_: object) -> None:
        folder.write_facts({"status": status, "epochs_done": 3})
        raise error

    if where == "parent":
        monkeypatch.setattr(train_module, "launch", failing)
        run = partial(train_module.train, config)
    else:
        monkeypatch.setattr(Trainer, "run", failing)
        monkeypatch.setattr(Fabric, "global_rank", 1)
        monkeypatch.setattr(Fabric, "world_size", 2)
        run = partial(train_module._train_process, Fabric(accelerator="cpu"), config, None, "", None)
    with pytest.raises(type(error)):
        run()
    assert folder.facts() == {"status": told, "epochs_done": 3}


@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (DataError("a.png: cannot be read;\ncopy it"), DataError, r"^a\.png: cannot be read;\ncopy it$"),
        (
            ZeroDivisionError("a mistake of ours"),
            ProcessRaisedException,
            "ZeroDivisionError: a mistake of ours",
        ),
    ],
    ids=["for people", "a bug"],
)
def test_an_error_in_a_process_comes_out_as_itself(
    error: Exception, raised: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch.multiprocessing.spawn tells of it, without the seconds that this takes."""
    fabric = Fabric(accelerator="cpu")

    def failing(process: object) -> None:
        text = "".join(traceback.format_exception(error))
        raise ProcessRaisedException(f"\n\n-- Process 1 terminated with the following error:\n{text}", 1, 2)

    monkeypatch.setattr(fabric, "launch", failing)
    with pytest.raises(raised, match=told):
        launch(fabric, print)


def test_whichever_process_is_heard_first_says_what_is_wrong() -> None:
    class Ended:
        def launch(self, process: object) -> None:
            told = "\n\n-- Process 1 terminated\nlookright.errors.ToldElsewhereError: data: there is none\n"
            raise ProcessRaisedException(told, 1, 4711)

    with pytest.raises(LookrightError, match="data: there is none") as caught:
        launch(Ended(), lambda fabric: None)  # type: ignore[arg-type]
    assert not isinstance(caught.value, ToldElsewhereError), "the command line would add nothing"
