"""Peak memory of one training step, each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from lookright.bench.steps import StepPrecision, Variant, make_step, make_subject
from lookright.errors import LookrightError

# Without these, glibc keeps freed memory for later, how much depending on what ran before: what counts as
# "between steps" would hide part of the peak. With them, a freed tensor goes back to the system at once.
_RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def can_measure(device: torch.device) -> bool:
    """Whether peak memory can be measured here: on an NVIDIA GPU, or on the CPU of a Linux system."""
    if device.type == "cuda":
        return True
    return device.type == "cpu" and _reset_high_water_mark()


def peak_bytes(
    variant: Variant,
    backbone: str,
    *,
    batch_size: int,
    image_size: int,
    device: torch.device,
    precision: StepPrecision = "32",
) -> float:
    """Measure how much memory a step takes at its peak beyond what is there between steps.

    What is there between steps are the libraries, the weights, the optimizer's state and the batch: the same
    for every variant. Leaving it out shows differences that it would dilute.

    Args:
        variant: which step
        backbone: see `lookright.bench.steps.make_subject`, as the rest
        batch_size: images
        image_size: H and W
        device: where to run; see `can_measure`
        precision: of the network

    Returns:
        bytes

    Raises:
        LookrightError: the measuring process failed (out of memory, say).
    """
    arguments = [variant.value, backbone, str(batch_size), str(image_size), str(device), precision]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | _RETURN_MEMORY,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise LookrightError(
            f"memory of the {variant.value} step of {backbone}: its process failed ({reason}); "
            "try a smaller --batch-size"
        )
    return float(done.stdout.strip().splitlines()[-1])


def peak_of(call: Callable[[], object], device: torch.device) -> int:
    """Measure the peak of a call beyond what this process had allocated before it; see `can_measure`.

    On a CPU this is resident memory, to a few hundred KiB.

    Returns:
        bytes
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    _reset_high_water_mark()
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _main(variant: str, backbone: str, batch_size: str, image_size: str, device: str, precision: str) -> None:
    """Measure, and write the bytes to standard output: the other end of `peak_bytes`."""
    where = torch.device(device)
    subject = make_subject(
        backbone,
        batch_size=int(batch_size),
        image_size=int(image_size),
        device=where,
        precision="bf16" if precision == "bf16" else "32",
    )
    step = make_step(subject, Variant(variant))
    step()  # the optimizer's state and the libraries' own buffers are there afterwards
    sys.stdout.write(f"{peak_of(step, where)}\n")


def _reset_high_water_mark() -> bool:
    """Set this process's VmHWM to what it uses now; False where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    """Read a size in bytes from /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields[name].split()[0]) * 1024


if __name__ == "__main__":
    _main(*sys.argv[1:])
