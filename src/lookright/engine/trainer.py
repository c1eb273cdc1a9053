"""The training loop: it moves batches and knows nothing of what the loss is."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lookright.config import TrainConfig
from lookright.data import AnnotatedBatchSampler, collate, generator_for
from lookright.engine.board import Board
from lookright.engine.compiled import compile_trunk
from lookright.engine.features import FeatureStore
from lookright.engine.inference import infer
from lookright.engine.journal import Journal, Row
from lookright.engine.optimizer import make_optimizer
from lookright.engine.processes import as_launched, check_same, find_launcher, launch, make_fabric, together
from lookright.engine.run_folder import RunFolder
from lookright.engine.schedule import learning_rate
from lookright.engine.setup import Setup, set_up
from lookright.engine.supervised import Step, SupervisedModel
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.engine.weighting import STEPS, GradientRatio
from lookright.errors import ConfigError, LookrightError, LookrightWarning, NonFiniteError
from lookright.losses.reduce import global_sum
from lookright.models import set_train_mode
from lookright.types import Batch

log = logging.getLogger("lookright")


def train(config: TrainConfig, command: str = "", *, store: FeatureStore | None = None) -> RunFolder:
    """Train a classifier as the options say and write its run folder.

    Every random choice derives from (seed, epoch), so that a run resumed after its last finished epoch goes
    on exactly as it would have, and the same options give the same run twice on a CPU.

    Args:
        config: the options
        command: the command line, to be written into the run
        store: features of the frozen part that runs share, by default those on disk that the options name; of
            one in memory, with several devices, each process has its own

    Returns:
        the run folder; its best checkpoint is the epoch that `config.best` picks

    Raises:
        ConfigError, DataError, CheckpointError, NonFiniteError: see their messages.
    """
    config = as_launched(config)
    folder = RunFolder(str(config.out))
    if find_launcher():  # all processes are here already, and what one of them refuses ends them all
        fabric = make_fabric(config)
        launch(fabric, partial(_prepare_and_train, config=config, command=command, store=store))
        return folder
    setup = set_up(config)
    fabric = make_fabric(config)
    folder.create(config)  # after all that can be refused: a mistake leaves no folder behind
    # A process of its own rebuilds what it needs from the options: nothing heavy travels.
    own = setup if config.devices == 1 else None
    launch(fabric, partial(_train_process, config=config, setup=own, command=command, store=store))
    return folder


def _prepare_and_train(fabric: Fabric, config: TrainConfig, command: str, store: FeatureStore | None) -> None:
    folder = RunFolder(str(config.out))
    setup = together(fabric, lambda: set_up(config))
    together(fabric, lambda: folder.create(config) if fabric.global_rank == 0 else None)
    _train_process(fabric, config, setup, command, store)


def _train_process(
    fabric: Fabric, config: TrainConfig, setup: Setup | None, command: str, store: FeatureStore | None
) -> None:
    trainer = Trainer(fabric, config, set_up(config) if setup is None else setup, command, store)
    try:
        trainer.run()
    except (KeyboardInterrupt, LookrightError) as error:
        with suppress(LookrightError):  # where the disk is full, that cannot be written either
            trainer.stop("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise


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
        network = setup.classifier.network
        self.supervised = SupervisedModel(network, setup.explainer, setup.objective)
        self.trunk = self.supervised.trunk = self._make_trunk(store) if config.cache_features else None
        trained = [p for p in self.supervised.parameters() if p.requires_grad]
        optimizer = make_optimizer(config, trained, fabric.device)
        self.model, self.optimizer = fabric.setup(self.supervised, optimizer)
        self.sampler = AnnotatedBatchSampler(
            setup.train.annotated,
            config.batch_size,
            seed=config.seed,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )
        self.steps_per_epoch = math.ceil(len(self.sampler) / config.accumulate)
        forward_passes = len(self.sampler) * config.epochs
        self.supervised.ratio = GradientRatio(setup.objective, min(STEPS, forward_passes // 10))
        self.supervised.guarded = config.guard
        self.journal = Journal(config, setup, self.optimizer, str(fabric.device), command)

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
            datasets = [self.setup.train, *([self.setup.val] if self.setup.val else [])]
            served = self.trunk.units if self.trunk.fill(datasets, self.fabric.device) else []
        if config.compile:
            explainers = {self.setup.explainer, *self.supervised.explainers.values()}
            network = self.setup.classifier.network
            compile_trunk(network, explainers, image_size=config.image_size, served=served)
        board = (
            Board(self.journal.folder.path / "tensorboard") if config.tensorboard and self._is_main else None
        )
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
            row = self._epoch(epoch)
            is_best = self.journal.add(row)
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

    def _make_trunk(self, store: FeatureStore | None) -> FrozenTrunk | None:
        setup = self.setup
        if setup.counterexamples is not None:  # new images in every batch
            return None
        return make_trunk(
            setup.classifier,
            {setup.explainer, *self.supervised.explainers.values()},
            image_size=self.config.image_size,
            store=FeatureStore.of(self.config) if store is None else store,
        )

    def stop(self, status: str) -> None:
        """Write how the run ended."""
        if self._is_main:
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
        set_train_mode(self.setup.classifier.network, freeze_batchnorm=self.setup.freeze_batchnorm)
        self.setup.objective.train()
        sums: dict[str, float] = {}
        rate = 0.0
        for i, batches in enumerate(self._groups(epoch)):
            step = epoch * self.steps_per_epoch + i
            rate = self._set_rate(step)
            self._set_ramp(step)
            self.optimizer.zero_grad()
            for name, value in self._accumulate(batches, epoch).items():
                sums[name] = sums.get(name, 0.0) + value
            self.optimizer.step()
        self._check_weights(epoch)
        row: Row = {"epoch": epoch, "lr": rate}
        images, score = (self._global_count(torch.tensor(sums.pop(n))) for n in ("images", "score"))
        row |= {name: value / self.steps_per_epoch for name, value in sums.items()}
        row[self.setup.output.score_name] = score / images
        row |= self._validate()
        row["seconds"] = round(time.perf_counter() - started, 3)
        return row

    def _groups(self, epoch: int) -> Iterator[list[Batch]]:
        """Give the micro-batches of each step, with their counterexamples."""
        loader = DataLoader(
            self.setup.train,
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=self.config.workers,
            pin_memory=self.fabric.device.type == "cuda",
        )
        batches = (self._extended(batch, epoch, i) for i, batch in enumerate(loader))
        while group := list(islice(batches, self.config.accumulate)):
            yield group

    def _extended(self, batch: Batch, epoch: int, index: int) -> Batch:
        if self.setup.counterexamples is None:
            return batch
        rank = self.fabric.global_rank
        generator = generator_for(seed=self.config.seed, epoch=epoch, step=index, rank=rank)
        return self.setup.counterexamples(batch, generator)

    def _accumulate(self, batches: list[Batch], epoch: int) -> dict[str, float]:
        """Forward and backward over micro-batches, weighed so that the means are those of all of them."""
        images = [self._global_count(torch.tensor(len(batch.label))) for batch in batches]
        annotated = [self._global_count(batch.annotated.sum()) for batch in batches]
        sums = {"loss": 0.0, "prediction_loss": 0.0, "images": 0.0, "score": 0.0}
        for i, cpu_batch in enumerate(batches):
            batch: Batch = self.fabric.to_device(cpu_batch)
            with self.fabric.no_backward_sync(self.model, enabled=i < len(batches) - 1):
                step: Step = self.model(batch)
                loss = step.prediction_loss * (images[i] / sum(images))
                if step.explanation_loss is not None:
                    self._guard()
                    share = annotated[i] / max(1.0, sum(annotated))
                    loss = loss + step.explanation_loss * share
                    explained = float(step.explanation_loss.detach())
                    sums["explanation_loss"] = sums.get("explanation_loss", 0.0) + explained * share
                self._check_finite(loss, step, batch, epoch)
                self.fabric.backward(loss)
            sums["loss"] += float(loss.detach())
            sums["prediction_loss"] += float(step.prediction_loss.detach()) * images[i] / sum(images)
            sums["images"] += len(batch.label)
            sums["score"] += self.setup.output.score(step.logits, batch.label)
            for name, fact in step.facts.items():
                sums[name] = sums.get(name, 0.0) + float(fact) / len(batches)
        return sums

    def _global_count(self, count: Tensor) -> float:
        return float(global_sum(count.float().to(self.fabric.device)))

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

    def _check_finite(self, loss: Tensor, step: Step, batch: Batch, epoch: int) -> None:
        if bool(torch.isfinite(loss)):
            return
        if not bool(torch.isfinite(step.logits).all()):
            cause = "the network's outputs are not finite"
        elif not bool(torch.isfinite(step.prediction_loss)):
            cause = "the prediction loss is not finite"
        else:
            cause = "the explanation loss is not finite"
        shown = ", ".join(batch.id[:4]) + (", ..." if len(batch.id) > 4 else "")
        raise NonFiniteError(
            f"epoch {epoch}: the loss is {float(loss.detach())} because {cause} (batch with {shown}); the "
            f"run is kept up to the epoch before; try a smaller --lr, or --precision 32"
        )

    def _check_weights(self, epoch: int) -> None:
        """Keep an epoch out of the checkpoints whose last step spoiled the weights."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if not all(bool(torch.isfinite(p).all()) for p in parameters):
            raise NonFiniteError(
                f"epoch {epoch}: the weights are not finite after its last step; the run is kept up to the "
                "epoch before; try a smaller --lr, or --precision 32"
            )

    def _validate(self) -> Row:
        if self.setup.val is None:
            return {}
        row: Row = {}
        if self._is_main:
            result = infer(
                self.setup.explainer,
                self.setup.val,
                batch_size=max(self.config.batch_size, 32),
                device=self.fabric.device,
                workers=self.config.workers,
                trunk=self.trunk,
                output=self.setup.output,
            )
            iou = result.localization["iou"]
            iou = iou[~iou.isnan()]
            row |= self.setup.output.validation(result.probabilities, result.label)
            row["val_iou"] = float(iou.mean()) if len(iou) else None
        shared: Row = self.fabric.broadcast(row)
        return shared
