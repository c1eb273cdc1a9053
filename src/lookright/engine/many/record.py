"""What each of many runs remembers, and how it becomes an ordinary run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lookright.config import TrainConfig
from lookright.engine.journal import Journal, Row
from lookright.engine.many.family import Family
from lookright.engine.many.heads import Head
from lookright.engine.optimizer import make_optimizer
from lookright.engine.setup import Setup
from lookright.errors import LookrightError


@dataclass(frozen=True)
class Place:
    """Where a run stands among those that learn together."""

    seed: int
    """row of its seed"""
    method: int
    """row of its method"""
    member: int
    """row within its method"""


@dataclass(frozen=True)
class Snapshot:
    """All runs as they were after an epoch."""

    weight: Tensor
    """(S, M, K, C)"""
    bias: Tensor
    """(S, M, K)"""
    objectives: list[dict[str, Tensor]]
    """of each method, what learns of its objectives, stacked"""
    buffers: list[list[dict[str, Tensor]]]
    """of each method and run, what else its objective keeps"""
    moments: list[dict[str, Tensor]]
    """state of the optimizer, of each stacked parameter"""


class Record:
    """One run: its journal, its best epoch and its last one, and how it ended.

    Args:
        index: of the run among those that were asked for
        config: its options
        setup: its data and objective, and the network that all share
        place: its rows
        device: where it trains
        command: the command line that started it
    """

    def __init__(
        self, index: int, config: TrainConfig, setup: Setup, place: Place, device: torch.device, command: str
    ) -> None:
        self.index, self.config, self.setup, self.place = index, config, setup, place
        self._device, self._command = device, command
        nothing = torch.optim.SGD([torch.zeros(1)])
        self.journal = Journal(config, setup, nothing, str(device), command)
        self.status = "running"
        self.error: LookrightError | None = None
        self._best: Snapshot | None = None
        self._last: Snapshot | None = None

    @property
    def lives(self) -> bool:
        """Whether it still learns."""
        return self.status == "running"

    def add(self, row: Row, snapshot: Snapshot, *, is_supervised: bool) -> None:
        """Take in an epoch; arguments as `Journal.add`."""
        if self.journal.add(row, is_supervised=is_supervised):
            self._best = snapshot
        self._last = snapshot

    def write(self, head: Head, family: Family) -> None:
        """Write its folder as it stands after its last finished epoch."""
        whole = self.journal
        if self._last is not None and self._best is not None:
            journal = Journal(self.config, self.setup, self._load(self._best, head, family), *self._told)
            journal.best_value, journal.best_epoch = whole.best_value, whole.best_epoch
            journal.unsupervised = whole.unsupervised
            journal.rows = whole.rows[: whole.best_epoch + 1]
            journal.save(is_best=True)
            if self._last is not self._best:
                journal.optimizer = self._load(self._last, head, family)
                journal.rows = whole.rows
                journal.save(is_best=False)
            journal.flush()
        whole.write_facts(self.status)

    @property
    def _told(self) -> tuple[str, str]:
        return str(self._device), self._command

    def _load(self, snapshot: Snapshot, head: Head, family: Family) -> torch.optim.Optimizer:
        """Put what was learned into network and objective, and its moments into an optimizer of their own."""
        place, objective = self.place, self.setup.objective
        with torch.no_grad():
            head.weight.copy_(snapshot.weight[place.seed, place.method].view_as(head.weight))
            if head.bias is not None:
                head.bias.copy_(snapshot.bias[place.seed, place.method])
            for name, parameter in objective.named_parameters():
                parameter.copy_(snapshot.objectives[place.method][name][place.member])
            for name, buffer in objective.named_buffers():
                buffer.copy_(snapshot.buffers[place.method][place.member][name])
        trained = [p for p in (head.weight, head.bias) if p is not None]
        moments = snapshot.moments[: len(trained)]
        rows: list[tuple[int, ...]] = [(place.seed, place.method)] * len(trained)
        own = snapshot.objectives[: place.method]
        skipped = len(trained) + sum(len(names) for names in own)
        for offset, parameter in enumerate(objective.parameters()):
            trained.append(parameter)
            moments.append(snapshot.moments[skipped + offset])
            rows.append((place.member,))
        optimizer = make_optimizer(self.config, trained, self._device)
        for parameter, state, row in zip(trained, moments, rows, strict=True):
            optimizer.state[parameter] = {
                name: value[row].reshape(parameter.shape).clone() if value.ndim else value.clone()
                for name, value in state.items()
            }
        return optimizer


def copy_state(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """Copy the state of each parameter."""
    state: Mapping[Tensor, Mapping[str, Any]] = optimizer.state
    return [
        {name: torch.as_tensor(value).clone() for name, value in state.get(parameter, {}).items()}
        for parameter in parameters
    ]
