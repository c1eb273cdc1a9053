"""What a run was computed by: the code, the processor, and how long it had none."""

from __future__ import annotations

import math
import platform
import re
import subprocess
from functools import cache
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")
_SCHEDSTAT = Path("/proc/self/schedstat")


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
def commit() -> str:
    """Name the commit of the checkout that this code runs from, with `+` where it was changed since.

    Empty where it is installed without one, or there is no git.
    """
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--exclude=*", "--dirty=+"]
    tracked = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
    try:
        subprocess.run(tracked, check=True, capture_output=True, timeout=10)  # no folder around it
        return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def waited() -> float:
    """Seconds for which this process's main thread could have run and got no core; NaN where nobody says."""
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return math.nan
