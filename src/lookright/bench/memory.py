"""Peak memory of one step, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from lookright.bench import steps

VARIANTS = {"plain": steps.plain_step, "supervised": steps.supervised_step}
_STATUS = Path("/proc/self/status")


def peak_bytes(variant: str, backbone: str, batch_size: int, image_size: int, device: str) -> int | None:
    """Measure how much memory a step needs at its peak beyond what lies there between steps.

    Returns:
        bytes; None where the system does not tell (it takes Linux or a GPU)
    """
    arguments = [variant, backbone, str(batch_size), str(image_size), device]
    code = "import sys; from lookright.bench.memory import report; report(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    text = done.stdout.strip().splitlines()[-1]
    return None if text == "None" else int(text)


def report(variant: str, backbone: str, batch_size: str, image_size: str, device: str) -> None:
    """Write the measurement of one variant to standard output: the other end of `peak_bytes`."""
    subject = steps.make_subject(backbone, int(batch_size), int(image_size), torch.device(device))
    step = VARIANTS[variant](subject)
    for _ in range(2):  # optimizer state and gradients are there afterwards
        step()
    sys.stdout.write(f"{_peak_of(step, device)}\n")


def _peak_of(step: steps.Step, device: str) -> int | None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
