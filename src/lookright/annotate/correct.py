"""Correction: a classifier is trained on what is marked so far, beside the page, and measured.

What computes are processes of `lookright train` and `lookright evaluate`: they can be ended at any moment,
and what they print is kept in a log beside the run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from csv import DictReader
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookright.annotate.pixels import POSITIVE
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.annotate.store import MARKED
from lookright.config import option_name
from lookright.errors import LookrightError
from lookright.types import Task

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

RUNS = ".runs"
"""Folder of an annotator's corrections; hidden, so that readers pass over it."""

FEWEST = 2
"""Marked photos in the training split."""

PROTOCOL = {"epochs": 15, "lr": 0.001}
"""Of the recommended method, where no run says how it was trained."""

_TAKEN_OVER = ("backbone", "weights", "start", "image_size", "explainer", "target_layer", "train")
_OLD = "old-evaluation"
_PATIENCE = 5.0
"""Seconds in which an interrupted process may tidy up."""


@dataclass(frozen=True)
class Figures:
    """What a run is worth on the test split."""

    accuracy: float
    iou: float | None
    """None where no photo of the split is marked"""
    images: int
    annotated: int


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
    """

    def __init__(
        self,
        project: Project,
        looking: Looking | None = None,
        *,
        runs: Path | None = None,
        device: str = "auto",
    ) -> None:
        self.project = project
        self.old = looking
        self.runs = (project.layer.folder / RUNS if runs is None else runs).resolve()
        self.device = device
        self._progress = Progress()
        self._started = 0.0
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._calling = threading.Lock()
        self._opening = threading.Lock()
        self._opened: tuple[str, Looking] | None = None

    @property
    def run(self) -> str | None:
        """Folder of the newest run, once it is trained."""
        return self._progress.run

    def start(self) -> None:
        """Begin, and return at once.

        Raises:
            RefusedError: 409, a correction runs, or too little is marked.
        """
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                raise RefusedError(409, "a correction is running; wait for its end, or cancel it")
            marked = self._check()
            options = self._options()
            folder = self._free_folder()
            self._folder, self._started = folder, time.monotonic()
            self._stop.clear()
            self._progress = Progress("running", "train", epochs=int(options["epochs"]), marked=marked)
            self._thread = threading.Thread(
                target=self._work, args=(folder, options), name="correction", daemon=True
            )
            self._thread.start()

    def told(self) -> dict[str, Any]:
        """How far it is, as JSON tells it."""
        progress = self._progress
        if progress.state == "running" and self._folder is not None:
            epoch = progress.epochs if progress.run else _epochs_done(self._folder / "log.csv")
            progress = replace(progress, epoch=epoch, seconds=self._seconds())
        return asdict(progress)

    def cancel(self) -> None:
        """End the correction that runs, if any; nothing of it stays."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._stop.set()
        with self._calling:
            process = self._process
        if process is not None:
            _end(process)
        thread.join()

    def close(self) -> None:
        """The same, at the server's end."""
        self.cancel()

    def looking(self, run: str) -> Looking:
        """The new model beside the photos, opened when its first map is asked for.

        Args:
            run: what `run` says
        """
        with self._opening:
            if self._opened is None or self._opened[0] != run:
                from lookright.annotate.look import open_looking

                self._opened = run, open_looking(run, self.project.images, device=self.device)
            return self._opened[1]

    def _check(self) -> int:
        """The number of marked photos; refuse what cannot be trained."""
        images, layer = self.project.images, self.project.layer
        if images.task is not Task.SINGLE_LABEL or len(images.classes) < 2:
            raise RefusedError(
                409, "a correction needs photos in class folders, one class per photo and two classes or more"
            )
        marked = [item for item in images.items if layer.status(item.id) == MARKED]
        if len(marked) < FEWEST:
            raise RefusedError(409, f"{len(marked)} photos are marked; mark {FEWEST} or more")
        in_training = sum(item.split == "train" for item in marked)
        if in_training < FEWEST:
            raise RefusedError(
                409,
                f"{in_training} of the {len(marked)} marked photos are in the training split, and "
                f"{FEWEST} are needed; mark more",
            )
        training = Counter(item.label for item in images.items if item.split == "train")
        for label, name in enumerate(images.classes):
            if not training[label]:
                raise RefusedError(409, f"the class {name} has no photo in the training split; add some")
        return len(marked)

    def _options(self) -> dict[str, Any]:
        """Options of the new run: those of the old one where there is one."""
        options: dict[str, Any] = {"method": "auto" if self._is_anything_positive() else "evidence"}
        options |= PROTOCOL
        if self.old is not None:
            config = self.old.model.config
            names: tuple[str, ...] = _TAKEN_OVER
            if self._old_run() is not None:
                names += ("epochs", "lr")
            options |= {name: value for name in names if (value := getattr(config, name)) is not None}
        splits = {item.split for item in self.project.items}
        return options | {"accelerator": self.device, "best": "performance" if "val" in splits else "last"}

    def _is_anything_positive(self) -> bool:
        """Whether a marked photo of the training split is marked *look here* anywhere."""
        project = self.project
        return any(
            bool((project.marks(index) == POSITIVE).any())
            for index, item in enumerate(project.items)
            if item.split == "train" and project.layer.status(item.id) == MARKED
        )

    def _old_run(self) -> Path | None:
        """Folder of the old model, where it is a run."""
        folder = getattr(self.old.model, "folder", None) if self.old is not None else None
        return None if folder is None else folder.path.resolve()

    def _free_folder(self) -> Path:
        number = 1
        while (folder := self.runs / f"corrected-{number}").exists() or _log(folder).exists():
            number += 1
        return folder

    def _data(self) -> list[str]:
        base, data = self.project.base.resolve(), self.project.images.root.resolve()
        return ["--data", str(data), *(["--annotations", str(base)] if base != data else [])]

    def _work(self, run: Path, options: dict[str, Any]) -> None:
        trained = False
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            given = [f"--{option_name(name).replace('_', '-')}={value}" for name, value in options.items()]
            self._call(run, ["train", *self._data(), f"--out={run}", *given])
            trained = True
            self._progress = replace(self._progress, step="evaluate", run=str(run))
            figures = self._measure(run)
            self._progress = replace(
                self._progress, state="done", step=None, epoch=int(options["epochs"]), **figures
            )
        except _CancelledError:
            shutil.rmtree(run, ignore_errors=True)
            _log(run).unlink(missing_ok=True)
            with suppress(OSError):  # there are others
                self.runs.rmdir()
            self._progress = Progress("cancelled", marked=self._progress.marked)
        except (_FailedError, LookrightError, OSError, ValueError, KeyError, TypeError) as error:
            if not trained:
                shutil.rmtree(run, ignore_errors=True)
            self._progress = replace(self._progress, state="failed", error=str(error))
        self._progress = replace(self._progress, seconds=self._seconds())

    def _measure(self, run: Path) -> dict[str, Any]:
        """Figures of both runs on the test split, and why there are none."""
        if not any(item.split == "test" for item in self.project.items):
            return {"note": "No photo is in the test split, so there are no figures."}
        old = self._old_run()
        usual = ["--split=test", f"--device={self.device}"]
        self._call(run, ["evaluate", str(run), *usual])
        figures: dict[str, Any] = {"new": _read_figures(run / "evaluation")}
        if old is not None:
            out = run / _OLD
            self._call(run, ["evaluate", str(old), *usual, *self._data(), f"--out={out}"])
            figures["old"] = _read_figures(out)
        elif self.old is not None:
            figures["note"] = "The old model is no run of lookright, so its figures are not known."
        return figures

    def _call(self, run: Path, arguments: list[str]) -> None:
        """Run a command of lookright to its end.

        Raises:
            _CancelledError: it was ended.
            _FailedError: it failed; with its last line.
        """
        with self._calling:
            if self._stop.is_set():
                raise _CancelledError
            with _log(run).open("ab") as log:
                self._process = process = subprocess.Popen(
                    [sys.executable, "-m", "lookright.cli", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl+C is for the server alone, which ends this group
                )
        code = process.wait()
        if self._stop.is_set():
            raise _CancelledError
        if code != 0:
            raise _FailedError(_last_line(_log(run)) or f"it ended with {code}")

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 1)


class _CancelledError(Exception):
    """Somebody has ended the correction."""


class _FailedError(Exception):
    """A command failed."""


def _log(run: Path) -> Path:
    return run.with_name(f"{run.name}.log")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: it may tidy up, but not for long."""
    with suppress(OSError):  # it has ended
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)  # the group is there as long as one of them is
        else:
            process.kill()
    process.wait()


def _epochs_done(file: Path) -> int:
    try:
        with file.open(encoding="utf-8", newline="") as log:
            return sum(1 for _ in DictReader(log))
    except OSError:
        return 0


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return said.removeprefix("lookright: ").removeprefix("error: ")


def _read_figures(folder: Path) -> Figures:
    told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    about = told["about"]
    return Figures(told["accuracy"]["value"], told["iou"]["value"], about["images"], about["annotated"])
