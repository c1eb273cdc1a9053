"""One run, from options to run folder, in as many processes as they say."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lightning_fabric import Fabric

from lookright.config import TrainConfig
from lookright.engine.completion_run import complete
from lookright.engine.features import FeatureStore
from lookright.engine.processes import as_launched, find_launcher, launch, make_fabric, together
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import Setup, set_up
from lookright.engine.trainer import Trainer

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

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "all", "image_size": 32}
        ...     run = train(TrainConfig(data=data, out=Path(folder, "run"), epochs=2, **network))
        ...     run.facts()["epochs_done"], run.best.exists()
        (2, True)
    """
    config = after_restart(as_launched(config))
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
    try:
        launch(fabric, partial(_train_process, config=config, setup=own, command=command, store=store))
    except Exception:  # one of several processes may have ended the one that writes
        with suppress(Exception):
            folder.mark_failed()
        raise
    return folder


def after_restart(config: TrainConfig) -> TrainConfig:
    """Let a run go on from its last checkpoint where torchrun started its processes again (--max-restarts).

    Args:
        config: as `as_launched` gives it
    """
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) if find_launcher() else 0
    if not restarts or config.resume or not RunFolder(str(config.out)).config_file.exists():
        return config
    log.info("restarted (%d): %s goes on where it stopped", restarts, config.out)
    return replace(config, resume=True)


def _prepare_and_train(fabric: Fabric, config: TrainConfig, command: str, store: FeatureStore | None) -> None:
    folder = RunFolder(str(config.out))
    setup = together(fabric, lambda: set_up(config))
    together(fabric, lambda: folder.create(config) if fabric.global_rank == 0 else None)
    _train_process(fabric, config, setup, command, store)


def _train_process(
    fabric: Fabric, config: TrainConfig, setup: Setup | None, command: str, store: FeatureStore | None
) -> None:
    setup = set_up(config) if setup is None else setup
    if store is None and setup.completion is not None:  # shared by what completes annotations and what trains
        store = FeatureStore.of(config)
    setup = complete(setup, config, fabric, store)
    trainer = Trainer(fabric, config, setup, command, store)
    try:
        trainer.run()
    except (KeyboardInterrupt, Exception) as error:
        with suppress(Exception):  # where the disk is full, or a GPU lost, that cannot be written either
            if fabric.global_rank == 0:
                trainer.stop("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            elif isinstance(error, Exception):  # the first process may wait for this one until it is ended
                trainer.journal.folder.mark_failed()
        raise
