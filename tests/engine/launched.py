"""What each process does that test_launchers lets torchrun start; it is no copy of the one that tests."""

import multiprocessing
import os
from pathlib import Path

from lookright import cli
from lookright.engine import journal
from lookright.engine.supervised import SupervisedModel
from lookright.engine.trunk import FrozenTrunk
from lookright.types import Batch


def command_line(arguments: list[str], folder: Path) -> None:
    """How it ended goes into a file, before torchrun stops the others for it."""
    multiprocessing.set_start_method(None, force=True)  # of its own processes: not as it was started itself
    code: object = 0
    try:
        cli.main(arguments)
    except SystemExit as exit:
        code = exit.code
    (folder / os.environ["RANK"]).write_text(str(code))


def lost_once(arguments: list[str], folder: Path) -> None:
    """The second process notes its steps, and is lost in the third one."""
    forward, steps = SupervisedModel.forward, folder / "steps"

    def dying(model: SupervisedModel, batch: Batch) -> object:
        if os.environ["RANK"] == "1":
            with steps.open("a") as file:
                file.write(os.environ["TORCHELASTIC_RESTART_COUNT"])
            if steps.read_text() == "000":
                os._exit(1)
        return forward(model, batch)

    SupervisedModel.forward = dying
    journal.WRITE_SECONDS = 0.0
    command_line(arguments, folder)


def counting(arguments: list[str], folder: Path) -> None:
    """Each process notes of how many images it computes features."""
    compute = FrozenTrunk._compute

    def counted(trunk: FrozenTrunk, keys: list[object], *rest: object) -> object:
        with (folder / f"images {os.environ['RANK']}").open("a") as file:
            file.write("." * len(keys))
        return compute(trunk, keys, *rest)

    FrozenTrunk._compute = counted
    command_line(arguments, folder)
