"""How good could the worst group be? Models that never saw the shortcut, by the groups of the test with it.

python examples/without_shortcut.py evidence/default gender_coco decoy --table runs/without_shortcut.md

The test images of a decoy set are those of another set with a marker on them. A model that was trained and
tested without markers has no shortcut to lose: its accuracy in the worst of the same groups of images is what
a method against shortcuts can hope for. From the rows per image that `lookright bench` keeps.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from lookright.evidence.statistics import t_interval

Row = dict[str, str]


def read(file: Path) -> list[Row]:
    """Rows of a csv file."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def key(row: Row) -> str:
    """What an image is called in both sets."""
    return str(Path(row["id"]).with_suffix(""))


def worst_group(rows: Sequence[Row], group: dict[str, str]) -> float:
    """Accuracy in the worst group of images that have one."""
    right = defaultdict(list)
    for row in rows:
        if key(row) in group:
            right[group[key(row)]].append(row["correct"] == "true")
    return min(mean(of_group) for of_group in right.values())


def compare(folder: Path, clean: str, marked: str) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Worst groups by annotated images, entry and data set, one value per seed."""
    done = [row for row in read(folder / "results.csv") if row["stage"] == "final" and not row["error"]]
    # Where hyperparameters were chosen anew, rows of the earlier choice stand before those of the later one.
    runs = list({(row["data"], row["annotated"], row["entry"], row["seed"]): row for row in done}.values())
    images = {run["run"]: read(folder / "images" / f"{run['run']}.csv") for run in runs}
    of_marked = [images[run["run"]] for run in runs if run["data"] == marked]
    group = {key(row): row["group"] for rows in of_marked for row in rows}
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["data"] in (clean, marked):
            worst = worst_group(images[run["run"]], group)
            found[run["annotated"], run["entry"]][run["data"]].append(worst)
    return found


def told(values: Sequence[float]) -> str:
    """Mean and half of its 95 % interval."""
    found = t_interval(values)
    if found.n < 2:
        return f"{found.mean:.3f}" if values else "–"
    return f"{found.mean:.3f} ± {found.half:.3f}"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of an experiment that lookright bench has run")
    parser.add_argument("clean", help="data set without markers, as the experiment calls it")
    parser.add_argument("marked", help="the same images with markers")
    parser.add_argument("--table", type=Path, help="file for the table")
    return parser


def main() -> None:
    """Print the table, and write it."""
    options = make_parser().parse_args()
    lines = [
        "Accuracy in the worst of four groups (class x marker), mean and 95 % interval over seeds; the same",
        "test images, with the marker and without, and models trained likewise (a method that is chosen on",
        "validation images is chosen for each set).\n",
        "| annotated | method | marker in training and test | no marker in either | seeds |",
        "|---|---|---|---|---|",
    ]
    for (annotated, entry), worst in sorted(compare(options.folder, options.clean, options.marked).items()):
        with_marker, without = worst[options.marked], worst[options.clean]
        lines.append(f"| {annotated} | {entry} | {told(with_marker)} | {told(without)} | {len(without)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.table:
        given = f"{options.folder} {options.clean} {options.marked}"
        command = f"python examples/without_shortcut.py {given} --table FILE"
        options.table.write_text(f"Written by `{command}`.\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
