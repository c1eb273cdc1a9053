"""Where a run trains: device, precision, and one process or several."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from lookright import errors
from lookright.config import TrainConfig
from lookright.errors import ConfigError, LookrightError

_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
_TOLD = re.compile(r"^lookright\.errors\.(\w+): (.*)", re.MULTILINE | re.DOTALL)


def make_fabric(config: TrainConfig) -> Fabric:
    """Make the Fabric that the options ask for; starts nothing.

    Raises:
        ConfigError: a device that is not here, or a precision that it does not have.

    Example:
        >>> make_fabric(TrainConfig(accelerator="cpu", precision="bf16")).device
        device(type='cpu')
    """
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            strategy="ddp_spawn" if config.devices > 1 else "auto",
            precision=_PRECISION[config.precision],
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

    Raises:
        LookrightError: what the function raised.
    """
    try:
        fabric.launch(process)
    except ProcessRaisedException as error:
        # All that comes back from a process is its traceback as a text.
        told = _TOLD.search(str(error))
        kind = getattr(errors, told[1], None) if told else None
        if told is None or not (isinstance(kind, type) and issubclass(kind, LookrightError)):
            raise
        raise kind(told[2].strip()) from error
