"""Which processor a run was computed on: seconds mean nothing without it."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")


def processor(device: str) -> str:
    """Name the processor that a device stands for, as far as the system says.

    Args:
        device: `cpu`, `cuda` or `mps`, as a run folder has it

    Example:
        >>> processor("cpu") != ""
        True
    """
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return _cpu()


@cache
def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
