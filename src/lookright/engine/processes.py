"""Where a run trains: device, precision, and one process or several, on one machine or more."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, NamedTuple, TypeVar

import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.multiprocessing.spawn import ProcessRaisedException

from lookright import errors
from lookright.config import TrainConfig
from lookright.errors import ConfigError, LookrightError, ToldElsewhereError

_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
_TOLD = re.compile(r"^lookright\.errors\.(\w+): (.*)", re.MULTILINE | re.DOTALL)

T = TypeVar("T")


class Launcher(NamedTuple):
    """What started this process together with others."""

    name: str
    environment: ClusterEnvironment
    devices: int
    """processes per machine"""
    nodes: int
    """machines"""


def find_launcher() -> Launcher | None:
    """Find out whether torchrun or SLURM's srun started this process; None: it stands alone.

    A single task of SLURM stands alone, so that a batch script may start several processes by `--devices`.

    Raises:
        ConfigError: SLURM was not told how many tasks a machine has.
    """
    if TorchElasticEnvironment.detect():
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        return Launcher("torchrun", TorchElasticEnvironment(), local, world // local)
    if SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1:
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ConfigError("devices: srun started several tasks; say how many by --ntasks-per-node")
        tasks, nodes = int(os.environ["SLURM_NTASKS_PER_NODE"]), int(os.environ.get("SLURM_NNODES", "1"))
        return Launcher("srun", SLURMEnvironment(), tasks, nodes)
    return None


@contextmanager
def _one_message_a_machine() -> Iterator[None]:
    """Before processes have met, the first one of each machine tells what is wrong."""
    try:
        yield
    except LookrightError as error:
        if os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0":
            raise
        raise ToldElsewhereError(str(error)) from error


@_one_message_a_machine()
def as_launched(config: TrainConfig) -> TrainConfig:
    """Give the options with the devices and nodes that the launcher started, where there is one.

    Raises:
        ConfigError: the options ask for other ones, or for several machines without a launcher.

    Example:
        >>> as_launched(TrainConfig(devices=2)).devices
        2
    """
    launcher = find_launcher()
    if launcher is None:
        if config.nodes > 1:
            raise ConfigError(
                f"nodes: got {config.nodes}, but nothing started this process on several machines; start it "
                f"with torchrun --nnodes {config.nodes}, or with srun (docs/scaling.md)"
            )
        return config
    wrong = [
        f"{name}: got {asked}, but {launcher.name} started {started}; leave --{name} away or give {started}"
        for name, asked, started in (
            ("devices", config.devices, launcher.devices),
            ("nodes", config.nodes, launcher.nodes),
        )
        if asked not in (1, started)
    ]
    if wrong:
        raise ConfigError("; ".join(wrong))
    return replace(config, devices=launcher.devices, nodes=launcher.nodes)


@_one_message_a_machine()
def make_fabric(config: TrainConfig) -> Fabric:
    """Make the Fabric that the options ask for; starts nothing.

    Args:
        config: as `as_launched` gives it

    Raises:
        ConfigError: a device that is not here, or a precision that it does not have.

    Example:
        >>> make_fabric(TrainConfig(accelerator="cpu", precision="bf16")).device
        device(type='cpu')
    """
    # Its hints (matmul precision on a GPU, say) are for whoever writes the training script.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    launcher = find_launcher()
    strategy = "ddp" if launcher else "ddp_spawn" if config.devices > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=strategy,
            precision=_PRECISION[config.precision],
            # Said, not found out: a single task of SLURM would wait for others that nobody started.
            plugins=launcher.environment if launcher else LightningEnvironment(),
        )
    except (RuntimeError, ValueError) as error:  # Fabric's own errors are kinds of these
        raise ConfigError(
            f"accelerator: '{config.accelerator}' with {config.devices} device(s) is not available here "
            f"({error}); use --accelerator auto or cpu, and as many --devices as there are"
        ) from error
    if config.precision == "fp16" and fabric.device.type == "cpu":
        raise ConfigError("precision: fp16 needs a GPU; use bf16 or 32 on a CPU")
    return fabric


def launch(fabric: Fabric, process: Callable[[Fabric], None]) -> None:
    """Run a function in every process; an error for people in one of them comes out as itself.

    Where a launcher started the processes, each of them calls this, and one of them raises the error.

    Raises:
        LookrightError: what the function raised.
        ToldElsewhereError: another process raised it.
    """
    if launcher := find_launcher():
        fabric.launch()
        with _one_message(launcher.environment):
            process(fabric)
        return
    try:
        fabric.launch(process)
    except ProcessRaisedException as error:
        # All that comes back from a process is its traceback as a text.
        told = _TOLD.search(str(error))
        kind = getattr(errors, told[1], None) if told else None
        if told is None or not (isinstance(kind, type) and issubclass(kind, LookrightError)):
            raise
        if issubclass(kind, ToldElsewhereError):  # here is elsewhere: whoever ended first is heard
            kind = LookrightError
        raise kind(told[2].strip()) from error


def together(fabric: Fabric, make: Callable[[], T]) -> T:
    """Call a function in every process; if it fails for people in one of them, all stop here.

    Without this the others would wait for the one that stopped.

    Args:
        fabric: launched
        make: called in every process

    Returns:
        what the function gave here

    Raises:
        LookrightError: in the first process, what the function raised in any of them.
        ToldElsewhereError: in the others.
    """
    try:
        made, failed = make(), None
    except LookrightError as error:
        made, failed = None, error
    everyone: list[LookrightError | None] = [failed]
    if dist.is_available() and dist.is_initialized():
        everyone = [None] * fabric.world_size
        dist.all_gather_object(everyone, failed)
    first = next((error for error in everyone if error is not None), None)
    if first is not None:
        raise first if fabric.global_rank == 0 else ToldElsewhereError(str(first)) from failed
    return made  # type: ignore[return-value]  # None only where T is: nothing failed


def check_same(value: int, what: str) -> None:
    """Check that a number is the same in every process.

    Args:
        value: this process's
        what: the error otherwise

    Raises:
        ConfigError: in every process, with the numbers of all.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    values: list[int] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    if len(set(values)) > 1:
        raise ConfigError(f"{what} (by process: {', '.join(map(str, values))})")


@contextmanager
def _one_message(environment: ClusterEnvironment) -> Iterator[None]:
    """Let the first process that fails for people raise its error; the others say that it has been told.

    The processes count by the store that they met at. When one has left, the others' sums over processes
    fail: that is no error of their own.
    """
    store = dist.TCPStore(  # type: ignore[attr-defined]  # public, but not marked so
        environment.main_address, environment.main_port, is_master=False
    )
    key = f"lookright/told/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"

    def told(by_me: int) -> bool:
        try:
            return bool(store.add(key, by_me) > by_me)
        except RuntimeError:  # the process that keeps the store has left, and has told why
            return True

    try:
        yield
    except ToldElsewhereError:
        raise
    except LookrightError as error:
        if told(by_me=1):
            raise ToldElsewhereError(str(error)) from error
        raise
    except RuntimeError as error:
        if told(by_me=0):
            raise ToldElsewhereError("another process of this run has stopped and said why") from error
        raise
