"""Correction: a classifier is trained on what is marked so far, beside the page, and measured.

What computes is a process that carries out `lookright train` and `lookright evaluate`: it can be ended at any
moment, and what they print is kept in a log beside the run.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from contextlib import suppress
from csv import DictReader
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookright.annotate.commands import CommandError, Commands, StoppedError
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.annotate.retraining import Retraining, arguments
from lookright.errors import LookrightError

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

log = logging.getLogger("lookright")

RUNS = ".runs"
"""Folder of an annotator's corrections; hidden, so that readers pass over it."""

_OLD = "old-evaluation"


@dataclass(frozen=True)
class Figures:
    """What a run is worth on the test split."""

    accuracy: float
    iou: float | None
    """None where no photo of the split is marked"""
    images: int
    annotated: int
    reasonability: dict[str, int] | None
    """photos in each cell of `lookright.metrics.ReasonabilityMatrix`; None where there are none"""


@dataclass(frozen=True)
class Progress:
    """How far a correction is."""

    state: str = "none"
    """none, running, done, failed or cancelled"""
    step: str | None = None
    """train or evaluate"""
    epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    marked: int = 0
    """photos of the training split"""
    error: str | None = None
    note: str | None = None
    """why there are no figures of one or both"""
    old: Figures | None = None
    new: Figures | None = None
    run: str | None = None
    """the new run's folder, once it is trained"""


class Corrections:
    """Trains one new run at a time on the photos that are marked.

    Args:
        project: what is annotated
        looking: the old model; its options are those of the new run
        runs: folder of the new runs; by default `.runs` in the annotator's folder
        device: auto, cpu, cuda or mps
        ahead: start the process of the next correction once something is marked: it then need not import
            PyTorch, and until then takes its memory (some 300 MB)
    """

    def __init__(
        self,
        project: Project,
        looking: Looking | None = None,
        *,
        runs: Path | None = None,
        device: str = "auto",
        ahead: bool = False,
    ) -> None:
        self.project = project
        self.old = looking
        self.runs = (project.layer.folder / RUNS if runs is None else runs).resolve()
        self.device = device
        self.training = Retraining(project, looking, device)
        self.ahead = ahead
        self._progress = Progress()
        self._started = 0.0
        self._number = 0
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._commands = Commands()
        self._starting = threading.Lock()
        self._closed = False
        self._opening = threading.Lock()
        self._opened: tuple[str, Looking] | None = None

    @property
    def run(self) -> str | None:
        """Folder of the newest run, once it is trained."""
        return self._progress.run

    def start(self) -> None:
        """Begin, and return at once.

        Raises:
            RefusedError: 409, a correction runs, too little is marked, or the server ends.
        """
        with self._starting:
            if self._closed:
                raise RefusedError(409, "lookright annotate is ending")
            if self._thread is not None and self._thread.is_alive():
                raise RefusedError(409, "a correction is running; wait for its end, or cancel it")
            found = self.training.read()
            options = self.training.options(found)
            marked = sum(item.annotated for item in found.split("train").items)
            folder = self._free_folder()
            self._folder, self._started = folder, time.monotonic()
            commands = self._fresh()
            self._progress = Progress("running", "train", epochs=int(options["epochs"]), marked=marked)
            self._thread = threading.Thread(
                target=self._work, args=(commands, folder, options), name="correction", daemon=True
            )
            self._thread.start()
            # What the new map needs is loaded meanwhile: without an old model it is not there yet.
            threading.Thread(target=import_module, args=("lookright.annotate.look",), daemon=True).start()

    def prepare(self) -> None:
        """Something was marked: see to `ahead`, unless a correction runs or starts."""
        if not self.ahead or not self.training.has_classes or not self._starting.acquire(blocking=False):
            return
        try:
            if not self._closed and (self._thread is None or not self._thread.is_alive()):
                with suppress(OSError):  # told by the correction itself
                    self._fresh().prepare()
        finally:
            self._starting.release()

    def told(self) -> dict[str, Any]:
        """How far it is, as JSON tells it."""
        progress = self._progress
        if progress.state == "running" and self._folder is not None:
            epoch = progress.epochs if progress.step == "evaluate" else _epochs_done(self._folder / "log.csv")
            progress = replace(progress, epoch=epoch, seconds=self._seconds())
        new = self.new
        return asdict(progress) | {
            "predicting": new is not None and new.is_predicting,
            "predicted": 0 if new is None else len(new.predictions),
            "changed": None if new is None or self.old is None else len(self.changed()),
        }

    def cancel(self) -> None:
        """End the correction that runs, if any; nothing of it stays."""
        with self._starting:  # one that is about to begin has begun then
            thread, commands = self._thread, self._commands
        if thread is None or not thread.is_alive():
            return
        commands.stop()
        thread.join()

    def close(self) -> None:
        """The same, at the server's end: no other begins."""
        with self._starting:
            self._closed = True
        self.cancel()
        self._commands.close()
        self._end_predictions()

    @property
    def new(self) -> Looking | None:
        """The newest run's model beside the photos, once it is open."""
        opened = self._opened
        return opened[1] if opened is not None and opened[0] == self.run else None

    def changed(self) -> set[int]:
        """Positions of the photos that the new model says another class of, as far as both are known."""
        old, new = self.old, self.new
        if old is None or new is None:
            return set()
        # Their classes may have another order or spelling: the photos' own labels say which are the same.
        labels = zip(old.images.items, new.images.items, strict=True)
        same = {(before.label, after.label) for before, after in labels}
        before = dict(old.predictions)
        return {
            index
            for index, after in dict(new.predictions).items()
            if index in before and (before[index].predicted, after.predicted) not in same
        }

    def looking(self, run: str) -> Looking:
        """The new model beside the photos.

        Args:
            run: what `run` says
        """
        with self._opening:
            if self._opened is None or self._opened[0] != run:
                from lookright.annotate.look import open_looking

                self._opened = run, open_looking(run, self.project.images, device=self.device)
            return self._opened[1]

    def _fresh(self) -> Commands:
        """Those of the next correction; `_starting` is held."""
        if self._commands.is_stopped:
            self._commands = Commands()
        return self._commands

    def _free_folder(self) -> Path:
        # A number is not used twice, not even after a cancelled run: maps are kept by the folder's name.
        while True:
            self._number += 1
            folder = self.runs / f"corrected-{self._number}"
            if not folder.exists() and not _log(folder).exists():
                return folder

    def _work(self, commands: Commands, run: Path, options: dict[str, Any]) -> None:
        try:
            end = self._correct(commands, run, options)
        except StoppedError:
            shutil.rmtree(run, ignore_errors=True)
            end = Progress("cancelled", marked=self._progress.marked)
            with suppress(OSError):  # there are others
                _log(run).unlink(missing_ok=True)
                self.runs.rmdir()
        except Exception as error:  # whatever a network raises, or a device without room for another one
            if self._progress.step == "train":
                shutil.rmtree(run, ignore_errors=True)
            if not isinstance(error, CommandError | LookrightError | OSError):
                log.exception("the correction failed")
            end = replace(self._progress, state="failed", error=_in_a_line(error))
        commands.close()
        if end.run is not None:  # only now: the map and the figures are waited for
            self.looking(end.run).start()
        self._progress = replace(end, seconds=self._seconds())

    def _correct(self, commands: Commands, run: Path, options: dict[str, Any]) -> Progress:
        """Train, open the new model, measure; what there is to tell then."""
        self._end_predictions()
        self.runs.mkdir(parents=True, exist_ok=True)
        data = self.training.data_arguments()
        commands.run(["train", *data, f"--out={run}", *arguments(options)], _log(run))
        self._progress = replace(self._progress, step="evaluate")
        self.looking(str(run))  # before it is measured: somebody waits for its maps
        self._progress = replace(self._progress, run=str(run))
        figures = self._measure(commands, run)
        if commands.is_stopped:
            raise StoppedError
        return replace(self._progress, state="done", step=None, epoch=int(options["epochs"]), **figures)

    def _end_predictions(self) -> None:
        opened = self._opened
        if opened is not None:
            opened[1].close()

    def _measure(self, commands: Commands, run: Path) -> dict[str, Any]:
        """Figures of both runs on the test split, and why there are none."""
        if not any(item.split == "test" for item in self.project.items):
            return {"note": "No photo is in the test split, so there are no figures."}
        usual = ["--split=test", f"--device={self.device}"]
        commands.run(["evaluate", str(run), *usual], _log(run))
        figures: dict[str, Any] = {"new": _read_figures(run / "evaluation")}
        if self.old is None:
            return figures
        old, out, data = self.training.old_run, run / _OLD, self.training.data_arguments()
        if old is None:
            return figures | {"note": "The old model is no run of lookright, so its figures are not known."}
        try:
            commands.run(["evaluate", str(old), *usual, *data, f"--out={out}"], _log(run))
        except CommandError as error:
            return figures | {"note": f"The old run could not be measured: {error}"}
        return figures | {"old": _read_figures(out)}

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 1)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _log(run: Path) -> Path:
    return run.with_name(f"{run.name}.log")


def _epochs_done(file: Path) -> int:
    try:
        with file.open(encoding="utf-8", newline="") as log:
            return sum(1 for _ in DictReader(log))
    except OSError:
        return 0


def _read_figures(folder: Path) -> Figures:
    told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    about = told["about"]
    cells = {cell: part["n"] for cell, part in told["reasonability_matrix"].items()}
    return Figures(
        accuracy=told["accuracy"]["value"],
        iou=told["iou"]["value"],
        images=about["images"],
        annotated=about["annotated"],
        reasonability=cells if any(cells.values()) else None,
    )
