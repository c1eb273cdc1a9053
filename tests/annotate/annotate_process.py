"""`lookright annotate` in a process of its own, as people start it."""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lookright

_WORKER = "lookright.cli.worker"


@contextmanager
def served(
    *arguments: str, port: int = 0, browser: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[str], list[str]]]:
    """A server as people start it: its address, its process, and the lines that it printed."""
    command = [sys.executable, "-m", "lookright.cli", "annotate", *arguments, "--port", str(port)]
    source = str(Path(lookright.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}
    if browser is None:
        command.append("--no-browser")
    else:
        environment["BROWSER"] = f"{browser} %s"
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Open "):
                break
        assert lines, "it printed nothing"
        assert lines[-1].startswith("Open "), lines
        rest = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        rest.start()
        yield lines[-1].split()[1], process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def get(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer, once there is one."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:  # it has said where it will be, and is not there yet
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def workers(parent: int) -> list[int]:
    """Process numbers of those that carry out commands for a server."""
    lines = (line.split(maxsplit=2) for line in _listed("ppid=,pid=,args="))
    return [int(pid) for ppid, pid, started in lines if int(ppid) == parent and _WORKER in started]


def is_worker(pid: int) -> bool:
    """Whether such a process is still there."""
    return any(line.split()[0] == str(pid) and _WORKER in line for line in _listed("pid=,args="))


def _listed(columns: str) -> list[str]:
    listed = subprocess.run(["ps", "-ww", "-eo", columns], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()
