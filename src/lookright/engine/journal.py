"""What a run remembers: its rows, its best epoch, its checkpoints, and how to go on from them."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import NoneType
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from torch import Tensor

import lookright
from lookright.config import TrainConfig
from lookright.engine.checkpoint import (
    fact,
    load_checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_checkpoint,
    stripped,
)
from lookright.engine.live_state import LiveState
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import Setup
from lookright.errors import CheckpointError, ConfigError
from lookright.losses import spell_out
from lookright.models import load_exactly

Row = dict[str, float | int | None]

WRITE_SECONDS = 5.0
"""How long what was learned may be in memory alone: writing it takes longer than an epoch on features."""


class _State(NamedTuple):
    """What a checkpoint holds."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Journal:
    """The memory of a run. It is on disk `WRITE_SECONDS` after the last writing, when an epoch ends.

    Until then the last epoch, and the best one, are kept in memory: what learns of them, the rest is shared
    with the network. A run that ends or is interrupted writes them (`flush`). One that is killed goes on from
    the last epoch that was written: checkpoints, log and facts are all of that one.

    Args:
        config: the options
        setup: network and objective, whose weights are kept
        optimizer: whose state is kept
        device: where the run trains, to be told
        command: the command line that started it, to be told
    """

    def __init__(
        self, config: TrainConfig, setup: Setup, optimizer: torch.optim.Optimizer, device: str, command: str
    ) -> None:
        self.config, self.setup, self.optimizer = config, setup, optimizer
        self.device, self.command = device, command
        self.folder = RunFolder(str(config.out))
        self.rows: list[Row] = []
        self.best_value, self.best_epoch = -math.inf, -1
        self.unsupervised = 0
        """epochs at the beginning that trained on the prediction alone, in part at least"""
        self._best: _State | None = None
        """the best epoch, if it is not on disk"""
        self._last: _State | None = None
        """the last epoch, if it is not on disk"""
        self._written = time.monotonic()
        self._state = LiveState(setup.classifier.network)

    def add(self, row: Row, *, is_supervised: bool = True) -> bool:
        """Take in an epoch; says whether it is the best so far. Of equal epochs the later one is.

        Args:
            row: its figures
            is_supervised: whether explanations were, from its first step on, or nothing waits to be: else it
                is not what the method makes of the network, and no epoch that is comes after it
        """
        self.rows.append(row)
        if not is_supervised:
            self.unsupervised = len(self.rows)
        value = self._value(len(self.rows) - 1)
        is_best = value >= self.best_value
        if is_best:
            self.best_value, self.best_epoch = value, len(self.rows) - 1
        return is_best

    def out_of_patience(self) -> bool:
        """Whether the last epoch that was better than all before lies further back than the options allow.

        An epoch as good as the best is kept, but is no progress: a plateau ends a run. Epochs that nobody
        looked at count from the next one that somebody did. Where the last epoch is kept, no run ends early.
        """
        if self.config.patience is None or self._keeps_last:
            return False
        values = [self._value(epoch) for epoch in range(len(self.rows))]
        seen = [epoch for epoch, value in enumerate(values) if value > -math.inf]
        return bool(seen) and seen[-1] - values.index(max(values)) >= self.config.patience

    def save(self, is_best: bool) -> None:
        """Keep the network and the optimizer as they are now, after an epoch that was added."""
        due = time.monotonic() - self._written >= WRITE_SECONDS
        network = prefixed("network", self._state.read(copied=not due))
        rest = prefixed("objective", self.setup.objective.state_dict())
        rest |= prefixed("optimizer", optimizer_tensors(self.optimizer))
        if not due:  # training goes on meanwhile
            rest = {name: tensor.clone() for name, tensor in rest.items()}
        facts = self.facts("running") | {"log": list(self.rows)}
        if is_best:
            self._best = _State(network, facts)
        self._last = _State(network | rest, facts)
        if due:
            self.flush()

    def flush(self) -> None:
        """Write the epochs that are in memory alone; each file is the old or the whole new one."""
        if self._best is not None:
            save_checkpoint(self.folder.best, *self._best)
            self._best = None
        if self._last is not None:
            save_checkpoint(self.folder.last, *self._last)
            facts = dict(self._last.facts)
            self.folder.write_log(facts.pop("log"))
            self.folder.write_facts(facts)
            self._last = None
        self._written = time.monotonic()

    def restore(self) -> bool:
        """Go back to the last finished epoch; False where none was finished, and the run starts again.

        Raises:
            CheckpointError: the checkpoint is damaged, of another model, or holds no state to go on from.
        """
        last = self.folder.last
        if not last.exists():
            return False
        tensors, facts = load_checkpoint(last)
        optimizer = stripped("optimizer", tensors)
        if not optimizer:
            raise CheckpointError(
                f"{last}: holds no state of the optimizer to go on from; delete it and train the run again"
            )
        load_exactly(self.setup.classifier.network, stripped("network", tensors), last)
        load_exactly(self.setup.objective, stripped("objective", tensors), last)
        restore_optimizer(self.optimizer, optimizer)
        self.command = fact(facts, "command", last, str)  # of who made the run, not of who goes on with it
        self.rows = fact(facts, "log", last, list)
        value = fact(facts, "best_value", last, float, int, NoneType)
        self.best_value = -math.inf if value is None else value
        self.best_epoch = fact(facts, "best_epoch", last, int)
        self.unsupervised = facts.get("unsupervised_epochs", 0)
        return True

    def write_facts(self, status: str) -> None:
        """Write run.json."""
        self.folder.write_facts(self.facts(status))

    def facts(self, status: str) -> dict[str, Any]:
        """Gather what run.json says."""
        setup = self.setup
        return {
            "lookright": lookright.__version__,
            "versions": _versions(),
            "command": self.command,
            "method": self.config.method,
            "objective": spell_out(self.config),
            "classes": list(setup.classes),
            "output": setup.output.facts,
            "mean": list(setup.classifier.mean),
            "std": list(setup.classifier.std),
            "weights": setup.classifier.weights,
            "target_layer": next(iter(setup.explainer.layer_names), None),
            "trained_weights": len(setup.scope.trained),
            "frozen_weights": len(setup.scope.frozen),
            "status": status,
            "epochs_done": len(self.rows),
            "best_epoch": self.best_epoch,
            "best_value": self.best_value if math.isfinite(self.best_value) else None,
            "unsupervised_epochs": self.unsupervised,
            "seconds": round(sum(row["seconds"] or 0 for row in self.rows), 3),
            "device": self.device,
            "images": {
                "train": len(setup.train),
                "annotated": setup.annotated_images,
                "val": len(setup.val) if setup.val else 0,
            },
            "completed": setup.completed,
            "photos_from_memory": _rounded(setup.train.from_memory),
        }

    @property
    def _keeps_last(self) -> bool:
        return self.config.best == "last" or self.setup.val is None

    def _value(self, epoch: int) -> float:
        """Give the figure that decides which epoch is best."""
        row = self.rows[epoch]
        performance, reasonability = row.get(self.setup.output.decisive), row.get("val_iou")
        if self._keeps_last:
            return float(epoch + 1)
        if performance is None or epoch < self.unsupervised:  # nobody looked at it, or it does not count
            return -math.inf
        if self.config.best == "performance":
            return performance
        if reasonability is None:
            raise ConfigError(
                f"best: {self.config.best} needs annotated validation images, and there is none; "
                "annotate some, or use --best performance"
            )
        return reasonability if self.config.best == "reasonability" else (performance + reasonability) / 2


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


@cache
def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "lightning_fabric": version("lightning-fabric"),
    }
