"""Whether the photos of an experiment are those that its rows were computed from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from lookright.evidence.grid import Grid
from lookright.evidence.made import sources
from lookright.evidence.plan import all_candidates
from lookright.evidence.reading import expand
from lookright.files import replacing

log = logging.getLogger("lookright")


def note_photos(grid: Grid, out: Path) -> None:
    """Keep what the data folders hold in `photos.json`, and warn where it is not what they held before.

    Rows know a folder by the name that the grid gives it, which may have a variable in it: another value
    means other photos, and rows that are there count as done all the same.

    Args:
        grid: of the experiment
        out: its folder
    """
    note = out / "photos.json"
    before: Mapping[str, str] = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    now = {name: _digest(folder) for name, folder in _folders(grid).items()}
    for name, digest in now.items():
        if before.get(name, digest) != digest:
            log.warning(
                "%s: holds other files than when the rows in %s were computed, which count as done all the "
                "same; give another --out to begin anew",
                name,
                out / "results.csv",
            )
    with replacing(note) as temporary:
        temporary.write_text(json.dumps({**now, **before}, indent=1), encoding="utf-8")


def _folders(grid: Grid) -> dict[str, Path]:
    """Data folders that are not made here, by the names that the grid gives them."""
    named = {str(run.options["data"]) for run in all_candidates(grid) if run.options.get("data") is not None}
    named = named - set(grid.prepare) | sources(grid.prepare)
    folders = {name: Path(expand("data", name)) for name in named}
    return {name: folder for name, folder in sorted(folders.items()) if folder.is_dir()}


def _digest(folder: Path) -> str:
    """Digest of the names and sizes of all files of a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(where, name)
            digest.update(
                f"{path.relative_to(folder)}\0{path.lstat().st_size}\n".encode(errors="surrogateescape")
            )
    return digest.hexdigest()
