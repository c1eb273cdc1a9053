"""Writes marks until it is killed: forks a writer for each line of its input.

A line says after how many writes, and how many seconds later: a loaded machine kills no earlier in the work.

The n-th marks of a photo are `random_marks(size, n)`. Prints the last ones that were acknowledged.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from annotate_made import SIZES, random_marks

from lookright.annotate.store import Layer
from lookright.data.layout import find_photos


def write_on(folder: Path, ids: list[str], out: int) -> None:
    layer = Layer(folder, "anna", find_photos(folder))
    while True:
        for number, photo_id in enumerate(ids):
            version = layer.version(photo_id)
            written = layer.put_marks(photo_id, random_marks(SIZES[photo_id], version + 1), version)
            os.write(out, f"{number} {written.version}\n".encode())


def main(folder: Path, ids: list[str]) -> None:
    acknowledged = dict.fromkeys(ids, 0)
    for line in sys.stdin:
        reader, out = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            write_on(folder, ids, out)
        os.close(out)
        writes, delay = line.split()
        with os.fdopen(reader) as told:
            entries = [told.readline() for _ in range(int(writes))]
            time.sleep(float(delay))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            entries += told.read().splitlines()
        for number, version in (entry.split() for entry in entries):
            acknowledged[ids[int(number)]] = int(version)
        sys.stdout.write(json.dumps(acknowledged) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
