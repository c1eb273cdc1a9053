"""sbatch, srun, scancel and sacct, as far as submitit calls them: jobs are processes of this machine.

The file is put on the PATH under these four names; $PRETENDED_SLURM is the folder of what it remembers.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

TASK = ("SLURM_NTASKS=1", "SLURM_PROCID=0", "SLURM_LOCALID=0", "SLURM_NODEID=0", "SLURM_JOB_NUM_NODES=1")


def sbatch(folder: Path, file: str) -> None:
    job = str(1000 + len(list(folder.glob("*.sh"))))
    (folder / f"{job}.sh").write_text(Path(file).read_text())
    settings = dict(setting.split("=") for setting in TASK) | {"SLURM_JOB_ID": job}
    command = f"bash {folder}/{job}.sh; echo FAILED > {folder}/{job}.state"  # a result says that it did not
    process = subprocess.Popen(
        ["bash", "-c", command],
        env=os.environ | settings,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (folder / f"{job}.pid").write_text(str(process.pid))
    sys.stdout.write(f"Submitted batch job {job}\n")


def srun(folder: Path, unbuffered: str, output: str, out: str, error: str, err: str, *command: str) -> None:
    def opened(pattern: str) -> int:
        file = pattern.replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    os.dup2(opened(out), 1)
    os.dup2(opened(err), 2)
    os.execvp(command[0], command)


def scancel(folder: Path, job: str) -> None:
    (folder / f"{job}.state").write_text("CANCELLED by 0")
    with suppress(ProcessLookupError):
        os.killpg(int((folder / f"{job}.pid").read_text()), signal.SIGKILL)


def sacct(folder: Path, *arguments: str) -> None:
    lines = ["JobID|State|NodeList"]
    for job in [after for flag, after in pairwise(arguments) if flag == "-j"]:
        state = folder / f"{job}.state"
        lines.append(f"{job}|{state.read_text().strip() if state.exists() else 'RUNNING'}|here")
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    called = {"sbatch": sbatch, "srun": srun, "scancel": scancel, "sacct": sacct}
    called[Path(sys.argv[0]).name](Path(os.environ["PRETENDED_SLURM"]), *sys.argv[1:])
