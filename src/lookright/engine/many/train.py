"""Training many runs: those that can learn together do, all others one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from lookright.config import TrainConfig
from lookright.engine.features import FeatureStore
from lookright.engine.many.choose import choose
from lookright.engine.many.loop import Loop
from lookright.engine.many.prepare import Group, prepare
from lookright.engine.many.record import Place, Record
from lookright.engine.option_check import check_options
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.errors import ConfigError, LookrightError
from lookright.losses import parse_method

log = logging.getLogger("lookright")


def train_many(
    configs: Sequence[TrainConfig], command: str = "", *, store: FeatureStore | None = None
) -> list[RunFolder]:
    """Train runs that a comparison asks for, as `train` would each of them, in much less time.

    Runs learn together that train a linear head (`--train head`) behind global average pooling on the same
    frozen features, and differ in their seed, in their method and its options alone. Their heads are applied
    by one product of matrices a step, explanations come from it in closed form (Grad-CAM, HiResCAM, CAM), the
    losses of all seeds of a method are computed at once, and one backward pass serves all runs. What comes
    out are the folders that `train` writes, equal up to rounding; `seconds` in their logs is each run's
    share. That the closed form holds is tried out on the first batch. Runs that cannot learn together are
    trained one after the other; the log says which, and why.

    Args:
        configs: options of each run, each with a folder `out` of its own
        command: the command line, to be written into the runs
        store: features that runs share, by default those on disk that the options of the first run name

    Returns:
        the run folders, in the order of `configs`

    Raises:
        ConfigError, DataError, CheckpointError: see their messages; mistakes in the options of any run are
            found before the first is trained.
        NonFiniteError: runs whose loss or weights became NaN. Where runs fail that have begun, all others
            are finished first, and the message tells of each.
        RuntimeError: several runs failed, one of them at least by an error that is none of lookright's; a
            single one is raised as it is. The log has the tracebacks.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lookright.data import write_decoy_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=1, per_class_val=1, per_class_test=1
        ...     )
        ...     network = {"backbone": "small_cnn", "weights": "none", "train": "head", "image_size": 32}
        ...     configs = [
        ...         TrainConfig(data=data, out=Path(folder, f"run-{seed}"), seed=seed, epochs=2, **network)
        ...         for seed in (0, 1)
        ...     ]
        ...     [run.facts()["epochs_done"] for run in train_many(configs)]
        [2, 2]
    """
    configs = list(configs)
    _check(configs)
    store = _store_of(configs) if store is None else store
    choice = choose(configs)
    alone = dict(choice.alone)
    failed: list[Exception] = []
    for indices in choice.groups:
        group, apart = prepare(configs, indices, store)
        alone |= apart
        if group is not None:
            failed += _train_group(group, configs, command)
    for i, why in sorted(alone.items()):
        if why:
            log.info("%s is trained alone: %s", configs[i].out, why)
        try:
            train(configs[i], command, store=store)
        except LookrightError as error:
            failed.append(type(error)(f"{configs[i].out}: {error}"))
        except Exception as error:  # a bug, a full disk, no memory left: the other runs may go well
            log.exception("%s failed, the other runs go on", configs[i].out)
            error.add_note(f"in the run {configs[i].out}")
            failed.append(error)
    if failed:
        raise _all_in_one(failed)
    return [RunFolder(str(config.out)) for config in configs]


def _all_in_one(failed: Sequence[Exception]) -> Exception:
    """One error that tells of all."""
    if len(failed) == 1:
        return failed[0]
    foreign = [error for error in failed if not isinstance(error, LookrightError)]
    told = "; ".join(
        " ".join([f"{type(error).__name__}: {error}", *error.__notes__]) if error in foreign else str(error)
        for error in failed
    )
    message = f"{len(failed)} runs failed: {told}"
    if not foreign:
        return type(failed[0])(message)
    whole = RuntimeError(message)
    whole.__cause__ = foreign[0]
    return whole


def _store_of(configs: Sequence[TrainConfig]) -> FeatureStore | None:
    return next((FeatureStore.of(config) for config in configs if config.cache_features), None)


def _check(configs: Sequence[TrainConfig]) -> None:
    """Find mistakes in any of the runs before the first is trained."""
    taken = set()
    for config in configs:
        check_options(config)
        parse_method(config)
        folder = RunFolder(str(config.out))
        if folder.path.resolve() in taken:
            raise ConfigError(f"out: two runs would write {config.out}; give each a folder of its own")
        taken.add(folder.path.resolve())
        if not config.resume:
            folder.check_free()


def _train_group(group: Group, configs: Sequence[TrainConfig], command: str) -> list[LookrightError]:
    """Train runs together and write their folders; gives what went wrong in single runs."""
    records = []
    for row, method in enumerate(group.methods):
        of_method = []
        for member, (i, seed) in enumerate(zip(method.runs, method.seeds, strict=True)):
            setup = replace(group.seeds[seed].setup, objective=method.family.objectives[member])
            place = Place(seed, row, member)
            of_method.append(Record(i, configs[i], setup, place, group.device, command))
        records.append(of_method)
    flat = [record for of_method in records for record in of_method]
    loop = Loop(group, records)
    for record in flat:
        RunFolder(str(record.config.out)).create(record.config)
        record.journal.write_facts("running")
    log.info("%d runs are trained together: %d methods", len(flat), len(group.methods))
    try:
        loop.run()
    except (KeyboardInterrupt, Exception) as error:
        for record in flat:
            if record.lives:
                record.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(Exception):  # where the disk is full, say
            loop.write(flat)
        raise
    loop.write(flat)
    return [record.error for record in flat if record.error is not None]
