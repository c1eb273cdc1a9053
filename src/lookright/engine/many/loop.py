"""The training loop of many runs at once: one product of matrices and one backward pass a step for all."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lookright.engine.journal import WRITE_SECONDS, Row
from lookright.engine.many.family import Judged, Marks
from lookright.engine.many.heads import logits_of, project
from lookright.engine.many.prepare import Group
from lookright.engine.many.record import Record, Snapshot, copy_state
from lookright.engine.many.validate import Validation
from lookright.engine.optimizer import make_optimizer
from lookright.engine.schedule import is_validated, learning_rate
from lookright.engine.weighting import STEPS, GradientRatio, ratio_of_norms
from lookright.errors import NonFiniteError
from lookright.types import Batch

Sums = dict[str, Tensor]
"""name -> (n,), of the runs of a method, over the steps of an epoch"""


class Loop:
    """Trains a group of runs.

    Each has weights of its own; the loss is the sum of theirs, so that the gradient of each is its own, and
    the optimizers work weight by weight.

    Args:
        group: what the runs share
        records: of each method, one per run
    """

    def __init__(self, group: Group, records: Sequence[Sequence[Record]]) -> None:
        self.group, self.records = group, records
        self.config = records[0][0].config
        self._flat = [record for of_method in records for record in of_method]
        start = torch.stack([part.weight for part in group.seeds])[:, None]
        bias = torch.stack([part.bias for part in group.seeds])[:, None]
        learning = torch.zeros(len(group.seeds), len(group.methods), 1, device=group.device)
        for i, method in enumerate(group.methods):
            learning[method.seeds, i] = 1  # a seed that a method does not run with has a head of zeros
        self.weight = nn.Parameter(start * learning[..., None])
        self.bias = nn.Parameter(bias * learning, requires_grad=group.form.head.bias is not None)
        self._places = [torch.tensor(method.seeds, device=group.device) for method in group.methods]
        own = [p for method in group.methods for p in method.family.parameters.values()]
        self.parameters = [p for p in (self.weight, self.bias, *own) if p.requires_grad]
        self.optimizer = make_optimizer(self.config, self.parameters, group.device)
        self.steps_per_epoch = len(group.seeds[0].sampler)
        passes = self.steps_per_epoch * self.config.epochs
        self._ratios = [
            [GradientRatio(objective, min(STEPS, passes // 10)) for objective in method.family.objectives]
            for method in group.methods
        ]
        for method in group.methods:
            method.family.refresh()
        self._rules = {rule for method in group.methods for rule in method.family.rules}
        self._full = any(method.family.full for method in group.methods)
        self._rows = (
            torch.tensor([record.place.seed for record in self._flat], device=group.device),
            torch.tensor([record.place.method for record in self._flat], device=group.device),
        )
        self._validation = None if group.val is None else Validation(group.val, group.cells, group.form)

    def run(self) -> None:
        """Train all epochs; what the runs learned is written from time to time."""
        written = time.monotonic()
        label = f"{len(self._flat)} runs"
        with tqdm(total=self.config.epochs, desc=label, unit="epoch", disable=None) as bar:
            for epoch in range(self.config.epochs):
                living = [record for record in self._flat if record.lives]
                if not living:
                    return
                self._epoch(epoch, living)
                bar.update()
                if time.monotonic() - written >= WRITE_SECONDS * len(living):
                    self.write(living)
                    written = time.monotonic()
        for record in self._flat:
            if record.lives:
                record.status = "finished"

    def write(self, records: Sequence[Record]) -> None:
        """Write the folders of runs as they stand after their last finished epoch."""
        for record in records:
            record.write(self.group.form.head, self.group.methods[record.place.method].family)

    # One epoch

    def _epoch(self, epoch: int, living: Sequence[Record]) -> None:
        started = time.perf_counter()
        for part in self.group.seeds:
            part.sampler.set_epoch(epoch)
        is_open = [[ratio.is_open for ratio in ratios] for ratios in self._ratios]  # at the first step
        sums: list[Sums] = [{} for _ in self.group.methods]
        images, rate = 0, 0.0
        orders = [iter(part.sampler) for part in self.group.seeds]
        for i, indices in enumerate(zip(*orders, strict=True)):
            batches = [part.batch(of, epoch) for part, of in zip(self.group.seeds, indices, strict=True)]
            images += len(indices[0])
            rate = self._set_rate(epoch * self.steps_per_epoch + i)
            for total, found in zip(sums, self._step(batches, epoch), strict=True):
                for name, value in found.items():
                    total[name] = total[name] + value if name in total else value
        numbers = [
            dict(zip(total, torch.stack(list(total.values())).tolist(), strict=True)) for total in sums
        ]
        figures = self._validate() if is_validated(epoch, self.config) else {}
        snapshot = self._snapshot()
        share = round((time.perf_counter() - started) / len(living), 3)
        for record in living:
            if not record.lives:  # failed in this epoch
                continue
            of_run = {
                name: values[record.place.member] for name, values in numbers[record.place.method].items()
            }
            output, score = record.setup.output, of_run.pop("score")
            row: Row = {"epoch": epoch, "lr": rate}
            row |= {name: value / self.steps_per_epoch for name, value in of_run.items()}
            row[output.score_name] = score / images
            row |= figures[record.index] if figures else {}
            row["seconds"] = share
            record.add(row, snapshot, is_supervised=not is_open[record.place.method][record.place.member])
            if record.journal.out_of_patience():
                record.status = "finished"

    def _step(self, batches: Sequence[Batch], epoch: int) -> list[Sums]:
        group = self.group
        keys = [key for batch in batches for key in zip(batch.id, batch.mirrored or (), strict=True)]
        features = group.cells.take(keys)
        features = features.view(len(batches), -1, *features.shape[1:])
        marks = Marks.of(batches, group.form.grid, self._rules, self._full)
        activations = project(features, self.weight)
        judged, found = [], []
        for i, method in enumerate(group.methods):
            activation, bias = activations[:, i], self.bias[:, i]
            own = marks
            if method.seeds != list(range(len(group.seeds))):
                at = self._places[i]
                activation, bias, own = activation[at], bias[at], marks.at(at)
            logits = logits_of(activation, bias)
            maps = group.form.explain(activation, logits, own.label, method.family.requests)
            judged.append(method.family.judge(own, logits, maps))
            score = [
                record.setup.output.score(of_run, label)
                for record, of_run, label in zip(self.records[i], logits.detach(), own.label, strict=True)
            ]
            found.append({"score": torch.stack(score).float()})
        self._measure(judged)
        losses = []
        for method, one, sums in zip(group.methods, judged, found, strict=True):
            loss = sums["prediction_loss"] = one.prediction
            if (explanation := method.family.explanation_loss(one)) is not None:
                loss = loss + explanation
                sums["explanation_loss"] = explanation
            sums |= one.facts
            sums["loss"] = loss
            losses.append(loss)
        self.optimizer.zero_grad()
        total = torch.cat(losses)
        torch.autograd.backward(total.sum())
        self.optimizer.step()
        # At once: a loss may refuse to be computed for NaN, and with it that of all other runs.
        self._check(total.detach().isfinite() & self._finite_weights(), epoch)
        order = ("loss", "prediction_loss", "explanation_loss")
        return [{name: sums[name].detach() for name in (*order, *sums) if name in sums} for sums in found]

    def _measure(self, judged: Sequence[Judged]) -> None:
        """Take a step into account for the scales that are still open; few backward passes serve all runs."""
        is_open = [any(ratio.is_open for ratio in ratios) for ratios in self._ratios]
        if not any(is_open):
            return
        waiting = [i for i, ratios in enumerate(self._ratios) if is_open[i] and any(r.is_due for r in ratios)]
        pulls: list[Tensor | None] = []
        terms = max((judged[i].parts.shape[1] for i in waiting), default=0)
        prediction = self._gradient([judged[i].prediction for i in waiting])
        for term in range(terms):
            having = [i for i in waiting if term < judged[i].parts.shape[1]]
            pulls.append(self._gradient([judged[i].parts[:, term] for i in having]))
        for i, ratios in enumerate(self._ratios):
            if not is_open[i]:
                continue
            for ratio, record in zip(ratios, self.records[i], strict=True):
                if not ratio.is_open:
                    continue
                at = record.place.seed, record.place.method
                found = []
                if ratio.is_due and prediction is not None:
                    for term in ratio.balanced:
                        pull = pulls[term]
                        part = judged[i].parts[record.place.member, term]
                        ours = [None if pull is None else pull[at]]
                        found.append(ratio_of_norms([prediction[at]], ours, part))
                ratio.take(found)
            self.group.methods[i].family.refresh()

    def _gradient(self, losses: Sequence[Tensor]) -> Tensor | None:
        """Gradient of losses at the weights of all heads; that of each run is of its own loss alone."""
        total = torch.cat(list(losses)).sum() if losses else None
        if total is None or not total.requires_grad:
            return None
        (found,) = torch.autograd.grad(total, self.weight, retain_graph=True, allow_unused=True)
        return None if found is None else found.float()

    def _set_rate(self, step: int) -> float:
        config, steps = self.config, self.config.epochs * self.steps_per_epoch
        cosine = config.schedule == "cosine"
        rate = learning_rate(step, steps, peak=config.lr, warmup=config.warmup, cosine=cosine)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for method, records in zip(self.group.methods, self.records, strict=True):
            warmup = records[0].config.explanation_warmup * steps
            method.family.ramp(min(1.0, step / warmup) if warmup else 1.0)
        return rate

    def _finite_weights(self) -> Tensor:
        """Whether the weights of each run are finite, (R,) bool."""
        fine = self.weight.detach().sum(dim=(2, 3)).isfinite()[self._rows]
        start = 0
        for method in self.group.methods:
            for parameter in method.family.parameters.values():
                fine[start : start + len(parameter)] &= parameter.detach().flatten(1).isfinite().all(dim=1)
            start += len(method.runs)
        return fine

    def _check(self, fine: Tensor, epoch: int) -> None:
        """End the runs whose loss or weights are not finite; their heads are zero from now on."""
        if bool(fine.all()):
            return
        for record, is_fine in zip(self._flat, fine.tolist(), strict=True):
            if is_fine:
                continue
            self._forget(record)
            if record.lives:
                record.status = "failed"
                record.error = NonFiniteError(
                    f"{record.config.out}: epoch {epoch}: the loss or the weights are not finite; the run is "
                    "kept up to the epoch before; try a smaller --lr"
                )

    def _forget(self, record: Record) -> None:
        place, own = record.place, self.group.methods[record.place.method].family.parameters.values()
        rows: list[tuple[Tensor, tuple[int, ...]]] = [
            (self.weight, (place.seed, place.method)),
            (self.bias, (place.seed, place.method)),
            *((parameter, (place.member,)) for parameter in own),
        ]
        with torch.no_grad():
            for parameter, row in rows:
                parameter[row] = 0
                for value in self.optimizer.state.get(parameter, {}).values():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        value[row] = 0

    def _validate(self) -> dict[int, Row]:
        if self._validation is None:
            return {}
        with torch.no_grad():
            return self._validation(self.weight[self._rows], self.bias[self._rows], self._flat)

    def _snapshot(self) -> Snapshot:
        families = [method.family for method in self.group.methods]
        return Snapshot(
            self.weight.detach().clone(),
            self.bias.detach().clone(),
            [{k: p.detach().clone() for k, p in family.parameters.items()} for family in families],
            [
                [{k: b.clone() for k, b in objective.named_buffers()} for objective in family.objectives]
                for family in families
            ],
            copy_state(self.optimizer, self.parameters),
        )
