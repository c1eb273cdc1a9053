"""Experiments whose figures are made up: results.csv as a grid would leave it, without training anything."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lookright.evidence.grid import parse_grid
from lookright.evidence.plan import PlannedRun, choose_runs, final_runs
from lookright.evidence.table import Table

Figures = Callable[[PlannedRun], Mapping[str, Any] | None]
"""figures of a run; None: it has no row"""

ABOUT = {
    "status": "finished",
    "error": "",
    "train_images": "100",
    "annotated_images": "100",
    "test_images": "4",
    "train_seconds": "7.5",
    "seconds": "10",
    "evaluate_seconds": "2",
    "date": "2026-01-02T03:04:05+00:00",
    "lookright": "0.1.0",
    "torch": "2",
    "python": "3.11",
    "device": "cpu",
    "threads": "1",
}


def made_up(folder: Path, content: Mapping[str, Any], figures: Figures) -> Path:
    """Write an experiment in which runs came to the given figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.yaml").write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
    grid = parse_grid(content)
    table = Table(folder / "results.csv")
    for stage in (lambda: choose_runs(grid), lambda: final_runs(grid, table)):
        for run in stage():
            if (known := figures(run)) is not None:
                row = {"stage": run.stage, "run": run.name, **run.cell, "seed": str(run.seed)}
                given = {"options": json.dumps(run.given), "chosen": json.dumps(dict(run.chosen))}
                given["fingerprint"] = run.fingerprint
                told = {name: str(value) for name, value in known.items()}
                table.rows[run.fingerprint] = row | given | ABOUT | told
        if table.rows:
            table.add(table.rows[next(iter(table.rows))])
    return folder


def images(folder: Path, run: PlannedRun, correct: list[bool], groups: Sequence[str] = ()) -> None:
    """Write the rows of a run's test images."""
    file = folder / "images" / f"{run.name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["id", "correct", "iou", "group"])
        of = groups or [""] * len(correct)
        writer.writerows([f"{i}.jpg", str(c).lower(), "", of[i]] for i, c in enumerate(correct))
