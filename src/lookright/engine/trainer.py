"""The training loop: it moves batches and knows nothing of what the loss is."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm.auto import tqdm

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, generator_for
from lookright.engine.board import Board
from lookright.engine.channels_last import place
from lookright.engine.compiled import compile_trunk
from lookright.engine.features import FeatureStore
from lookright.engine.finite import FiniteCheck, check_weights
from lookright.engine.inference import infer
from lookright.engine.journal import Journal, Row
from lookright.engine.loading import load_batches, share_out
from lookright.engine.optimizer import make_optimizer
from lookright.engine.processes import check_same
from lookright.engine.schedule import is_validated, learning_rate
from lookright.engine.setup import Setup
from lookright.engine.supervised import Step, SupervisedModel
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.engine.weighting import STEPS, GradientRatio
from lookright.errors import ConfigError, LookrightWarning
from lookright.losses.reduce import global_sum
from lookright.models import set_train_mode
from lookright.types import Batch

log = logging.getLogger("lookright")


class Trainer:
    """One run in one process.

    Args:
        fabric: launched; device, precision and processes
        config: the options
        setup: data, network and objective
        command: the command line that started the run
        store: features that runs share
    """

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        setup: Setup,
        command: str,
        store: FeatureStore | None = None,
    ) -> None:
        self.fabric, self.config, self.setup = fabric, config, setup
        network, objective = place(setup.classifier.network, fabric.device), setup.objective.to(fabric.device)
        self.supervised = SupervisedModel(network, setup.explainer, objective, exchange=setup.exchange)
        self.trunk = self.supervised.trunk = self._make_trunk(store) if config.cache_features else None
        self._trained = [p for p in self.supervised.parameters() if p.requires_grad]
        optimizer = make_optimizer(config, self._trained, fabric.device)
        self.model, self.optimizer = fabric.setup(self.supervised, optimizer)
        self.sampler = share_out(setup.train, config, rank=fabric.global_rank, world_size=fabric.world_size)
        self.steps_per_epoch = math.ceil(len(self.sampler) / config.accumulate)
        forward_passes = len(self.sampler) * config.epochs
        self.supervised.ratio = GradientRatio(setup.objective, min(STEPS, forward_passes // 10))
        self.supervised.guarded = config.guard
        self.journal = Journal(config, setup, self.optimizer, str(fabric.device), command)
        self._finite = FiniteCheck(at_once=fabric.device.type == "cpu")
        self._training: Iterable[Batch]
        self._validation: Iterable[Batch] | None = None
        self._load()

    def run(self) -> None:
        """Train all epochs that are left, keep the best, log each."""
        config = self.config
        if config.resume and self.journal.restore():
            self.supervised.guarded = False  # what the guard had to say was said before the stop
        check_same(
            len(self.journal.rows),
            f"resume: {self.journal.folder.path} does not say the same to all processes; put it where all "
            "machines see it",
        )
        if self._is_main:
            self.journal.write_facts("running")
        served: list[str] = []
        if self.trunk is not None:
            splits = (self.setup.train, self.setup.val)
            datasets = [images for images in splits if isinstance(images, ExplanationDataset)]
            # One process of each machine computes what is kept on disk; the others find it there.
            with self.fabric.rank_zero_first(local=True) if config.cache_gb else nullcontext():
                served = self.trunk.units if self.trunk.fill(datasets, self.fabric.device) else []
        if config.compile:
            explainers = {self.setup.explainer, *self.supervised.explainers.values()}
            network = self.setup.classifier.network
            compile_trunk(network, explainers, image_size=config.image_size, served=served)
        self._load()  # the features may be there now
        board = (
            Board(self.journal.folder.path / "tensorboard") if config.tensorboard and self._is_main else None
        )
        # Once: what evaluates in between puts every module back in its mode.
        set_train_mode(self.setup.classifier.network, freeze_batchnorm=self.setup.freeze_batchnorm)
        self.setup.objective.train()
        done = len(self.journal.rows)
        bar = tqdm(
            total=config.epochs,
            initial=done,
            desc=config.method,
            unit="epoch",
            disable=None if self._is_main else True,
        )
        for epoch in range(done, config.epochs):
            if self.journal.out_of_patience():
                log.info("stopped: no epoch of the last %d was better", config.patience)
                break
            is_supervised = not self.supervised.ratio.is_open  # from the first step on
            row = self._epoch(epoch)
            is_best = self.journal.add(row, is_supervised=is_supervised)
            if self._is_main:
                self.journal.save(is_best)
            if board:
                board.write(row)
            bar.update()
            names = ("loss", self.setup.output.decisive, "val_iou")
            shown = {k: v for k in names if (v := row.get(k)) is not None}
            bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()})
        bar.close()
        self.stop("finished")

    def _load(self) -> None:
        """Decide where batches come from."""
        load = partial(load_batches, device=self.fabric.device, workers=self.config.workers, trunk=self.trunk)
        self._training = load(self.setup.train, self.sampler)
        if self.setup.val is not None:
            self._validation = load(self.setup.val, max(self.config.batch_size, 32))

    def _make_trunk(self, store: FeatureStore | None) -> FrozenTrunk | None:
        setup = self.setup
        # New images in every batch, or more of them than anything can keep.
        if setup.counterexamples is not None or not isinstance(setup.train, ExplanationDataset):
            return None
        return make_trunk(
            setup.classifier,
            {setup.explainer, *self.supervised.explainers.values()},
            image_size=self.config.image_size,
            store=FeatureStore.of(self.config) if store is None else store,
        )

    def stop(self, status: str) -> None:
        """Write what is in memory alone, and how the run ended."""
        if self._is_main:
            self.journal.flush()
            self.journal.write_facts(status)

    @property
    def _is_main(self) -> bool:
        return self.fabric.global_rank == 0

    # One epoch

    def _epoch(self, epoch: int) -> Row:
        started = time.perf_counter()
        # Dropout and the like differ between ranks; everything else is seeded per sample or batch.
        torch.manual_seed((self.config.seed * 100_003 + epoch) * 1_009 + self.fabric.global_rank)
        self.sampler.set_epoch(epoch)
        self.setup.train.set_epoch(epoch)
        sums: dict[str, Tensor] = {}
        rate = 0.0
        for i, batches in enumerate(self._groups(epoch)):
            step = epoch * self.steps_per_epoch + i
            rate = self._set_rate(step)
            self._set_ramp(step)
            self.optimizer.zero_grad()
            for name, value in self._accumulate(batches, epoch).items():
                sums[name] = sums[name] + value if name in sums else value
            self.optimizer.step()
        self._finite.end(epoch)
        check_weights(self._trained, epoch)
        row: Row = {"epoch": epoch, "lr": rate}
        sums["score"] = self._global_count(sums["score"])
        totals = self._read(sums)
        images, score = totals.pop("images"), totals.pop("score")
        row |= {name: value / self.steps_per_epoch for name, value in totals.items()}
        row[self.setup.output.score_name] = score / images
        row |= self._validate() if is_validated(epoch, self.config) else {}
        row["seconds"] = round(time.perf_counter() - started, 3)
        return row

    def _groups(self, epoch: int) -> Iterator[list[Batch]]:
        """Give the micro-batches of each step, with their counterexamples."""
        batches = (self._extended(batch, epoch, i) for i, batch in enumerate(self._training))
        while group := list(islice(batches, self.config.accumulate)):
            yield group

    def _extended(self, batch: Batch, epoch: int, index: int) -> Batch:
        if self.setup.counterexamples is None:
            return batch
        rank = self.fabric.global_rank
        generator = generator_for(seed=self.config.seed, epoch=epoch, step=index, rank=rank)
        return self.setup.counterexamples(batch, generator)

    def _accumulate(self, batches: list[Batch], epoch: int) -> dict[str, Tensor]:
        """Forward and backward over micro-batches, weighed so that the means are those of all of them.

        All that is counted and summed stays on the device: nothing here waits for a GPU.
        """
        counts = [(torch.tensor(len(b.id), device=b.annotated.device), b.annotated.sum()) for b in batches]
        count = self._global_count(torch.stack([number for pair in counts for number in pair])).view(-1, 2)
        total = count.sum(dim=0)
        images, annotated = (count / total.clamp(min=1)).unbind(dim=1)
        sums: dict[str, Tensor] = {"images": total[0]}
        for i, loaded in enumerate(batches):
            batch: Batch = self._to_device(loaded)
            with self.fabric.no_backward_sync(self.model, enabled=i < len(batches) - 1):
                step: Step = self.model(batch)
                loss = step.prediction_loss * images[i]
                found = {"loss": loss, "prediction_loss": loss}
                if step.explanation_loss is not None:
                    self._guard()
                    found["explanation_loss"] = step.explanation_loss * annotated[i]
                    found["loss"] = loss = loss + found["explanation_loss"]
                self._finite.add(loss, step, batch, epoch)
                # What learns alone: the layer that is looked at would get a gradient too, which nobody reads.
                self.fabric.backward(loss, inputs=self._trained)
            found["score"] = self.setup.output.score(step.logits, batch.label)
            found |= {name: torch.as_tensor(fact) / len(batches) for name, fact in step.facts.items()}
            for name, value in found.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        return sums

    def _to_device(self, batch: Batch) -> Batch:
        is_there = batch.image.device == self.fabric.device
        moved: Batch = batch if is_there else self.fabric.to_device(batch)
        return moved

    def _global_count(self, count: Tensor) -> Tensor:
        return global_sum(count.to(self.fabric.device, torch.float32, non_blocking=True))

    def _read(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Bring the sums of an epoch from the device, all at once."""
        numbers = torch.stack([v.to(self.fabric.device, torch.float32) for v in sums.values()]).tolist()
        return dict(zip(sums, numbers, strict=True))

    def _set_rate(self, step: int) -> float:
        config = self.config
        rate = learning_rate(
            step,
            config.epochs * self.steps_per_epoch,
            peak=config.lr,
            warmup=config.warmup,
            cosine=config.schedule == "cosine",
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _set_ramp(self, step: int) -> None:
        """Let the explanation loss come in over the first share of the steps."""
        warmup = self.config.explanation_warmup * self.config.epochs * self.steps_per_epoch
        self.setup.objective.ramp = min(1.0, step / warmup) if warmup else 1.0

    def _guard(self) -> None:
        """Once, on the first step that says something: does the explanation loss reach the weights?"""
        reach = self.supervised.reach
        if reach is None or not self.supervised.guarded:
            return
        self.supervised.guarded = False
        message = reach.warning(self.config.second_order)
        explainers = self.supervised.explainers.values()
        if reach.reached and all(explainer.order == "first" for explainer in explainers):
            return  # a loss on what a layer gives does not reach what lies above it, by definition
        if message and not reach.reached:
            raise ConfigError(f"method: {message}")
        if message and self._is_main:
            warnings.warn(message, LookrightWarning, stacklevel=2)

    def _validate(self) -> Row:
        if self.setup.val is None or self._validation is None:
            return {}
        row: Row = {}
        if self._is_main:
            result = infer(
                self.setup.explainer,
                self.setup.val,
                device=self.fabric.device,
                trunk=self.trunk,
                output=self.setup.output,
                batches=self._validation,
                figures=["iou"],
            )
            iou = result.localization["iou"]
            iou = iou[~iou.isnan()]
            row |= self.setup.output.validation(result.probabilities, result.label)
            row["val_iou"] = float(iou.mean()) if len(iou) else None
        shared: Row = self.fabric.broadcast(row)
        return shared
