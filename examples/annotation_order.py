"""Does it pay to annotate in the order of `lookright annotate --run`? Beside random order, many seeds.

python examples/annotation_order.py ../shared/data --out runs/order --table docs/annotation_order.md

A plain model is trained on 200 photos that nobody annotated; of these the first 6 or 24 are annotated, in the
order that the page would have them with that model, in one that shows each way of looking in turn, or at
random; and `auto` is trained anew. Two sets: photos of people with a stamped marker that tells the class in
training and not in the test, and street scenes as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from lookright.annotate.look import open_looking
from lookright.annotate.order import spread, teaching_order
from lookright.audit.cluster_table import make_clusters
from lookright.audit.looks import look
from lookright.config import TrainConfig
from lookright.data import AnnotationSet, Item
from lookright.data.annotations import MaskFiles
from lookright.data.prepare import prepare_decoy
from lookright.data.splits import shuffle_key
from lookright.engine.evaluate import evaluate
from lookright.engine.run_data import choose, make_dataset, read_data
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.evidence.statistics import t_interval
from lookright.prepare_config import DecoyConfig

BUDGETS = (6, 24)
MEASURES = ("accuracy", "worst_group_accuracy", "iou")
OPTIONS = TrainConfig(
    train="last-stage", train_per_class=100, epochs=10, validate_every=5, lr=0.001, negatives_outside=0.1
)

Order = Callable[[str, AnnotationSet, int], list[int]]
"""run of the plain model, the photos, seed -> positions of the photos, first what is annotated first"""


def at_random(run: str, images: AnnotationSet, seed: int) -> list[int]:
    """Any photo is as good as another."""
    return sorted(
        range(len(images.items)), key=lambda index: shuffle_key(seed + 1000, images.items[index].id)
    )


def as_the_page(run: str, images: AnnotationSet, seed: int) -> list[int]:
    """The order of the page, once all photos are predicted."""
    looking = open_looking(run, images, device="cpu")
    looking.predict_all()
    items, classes = looking.images.items, len(looking.classes)
    return teaching_order(items, looking.predictions, classes, ways=looking.ways)


def by_clusters(run: str, images: AnnotationSet, seed: int) -> list[int]:
    """The most typical photo of each of the audit's clusters, then the next one of each; suspects first."""
    model = open_run(Path(run))
    found = make_clusters(
        look(model, images, make_dataset(images, model.classifier, model.config), progress=False)
    )
    cluster = {row: number for number, one in enumerate(found) for row in one.rows}
    return spread(cluster, cluster.__getitem__)


ORDERS: dict[str, Order] = {"at random": at_random, "as the page": as_the_page, "by clusters": by_clusters}


def make_sets(photos: Path, out: Path) -> dict[str, Path]:
    """The two data sets."""
    decoy = out / "data" / "marker"
    if not decoy.exists():
        prepare_decoy(
            DecoyConfig(source=photos / "gender_coco", out=decoy, marker="glyph", size=0.2, val="train")
        )
    return {"people with a marker": decoy, "streets": photos / "street_boston_spain"}


def run(
    name: str, data: Path, out: Path, seed: int, budgets: Sequence[int] = BUDGETS
) -> list[dict[str, str]]:
    """One seed of one data set: a row for each order and budget."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    base = out / "runs" / f"{name.replace(' ', '_')}-{seed}"
    rows = base / "rows.json"
    if rows.exists():
        found: list[dict[str, str]] = json.loads(rows.read_text(encoding="utf-8"))
        return found
    shutil.rmtree(base, ignore_errors=True)  # of a call that was stopped
    options = replace(OPTIONS, data=data, seed=seed)
    plain = base / "plain"
    train(replace(options, method="baseline", out=plain))
    everything = choose(read_data(options), options)
    pool = everything.split("train")
    orders = {of: order(str(plain), _unmarked(pool), seed) for of, order in ORDERS.items()}
    found = [{"set": name, "seed": str(seed), "order": "plain", "budget": "0"} | _figures(plain)]
    for (of, order), budget in product(orders.items(), budgets):
        first = {pool.items[index].id for index in order[:budget]}
        marks = base / f"marks-{of.replace(' ', '_')}-{budget}"
        _write_marks(marks, data, [i for i in everything.items if i.split != "train" or i.id in first])
        guided = base / f"run-{of.replace(' ', '_')}-{budget}"
        train(replace(options, method="auto", annotations=marks, out=guided))
        found.append({"set": name, "seed": str(seed), "order": of, "budget": str(budget)} | _figures(guided))
        shutil.rmtree(guided)
    rows.write_text(json.dumps(found), encoding="utf-8")
    return found


def _unmarked(images: AnnotationSet) -> AnnotationSet:
    return replace(images, items=tuple(replace(item, marks=None) for item in images.items))


def _write_marks(folder: Path, data: Path, items: Sequence[Item]) -> None:
    """A folder of the masks of some photos, as links."""
    for item in items:
        if isinstance(item.marks, MaskFiles) and item.marks.positive is not None:
            link = folder / "masks" / item.marks.positive.relative_to(data / "masks")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(item.marks.positive.resolve())


def _figures(folder: Path) -> dict[str, str]:
    evaluation = evaluate(folder, device="cpu", progress=False)
    read = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    return {measure: str(read[measure]["value"]) for measure in MEASURES if measure in read}


def table(rows: Sequence[dict[str, str]]) -> str:
    """Lay out the means as Markdown, and how far one order is ahead of the other: mean and 95 % interval."""
    lines = [
        "| photos | annotated | measure | plain | at random | as the page | ahead of random | by clusters | "
        "ahead of random |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    names, budgets = (dict.fromkeys(row[column] for row in rows) for column in ("set", "budget"))
    for name, budget, measure in product(names, budgets, MEASURES):
        values = {
            order: {
                row["seed"]: float(row[measure])
                for row in rows
                if (row["set"], row["order"]) == (name, order)
                and row["budget"] in (budget, "0")
                and measure in row
            }
            for order in ("plain", *ORDERS)
        }
        random = values["at random"]
        if budget == "0" or not random:
            continue
        cells = [name, budget, measure]
        for order, of_seed in values.items():
            cells.append(f"{statistics.mean(of_seed.values()):.3f}")
            if order not in ("plain", "at random"):
                cells.append(_interval([of_seed[seed] - random[seed] for seed in random]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(differences: Sequence[float]) -> str:
    found = t_interval(differences)
    return f"{found.mean:+.3f}" + (f" ({found.low:+.3f} to {found.high:+.3f})" if found.n > 1 else "")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder that holds gender_coco/ and street_boston_spain/")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for what is made; what is done in it is used again"
    )
    parser.add_argument("--table", type=Path, help="file for the table")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at a time")
    return parser


def main() -> None:
    """Run all seeds of both sets, write the rows and the table."""
    options = make_parser().parse_args()
    sets = make_sets(options.photos, options.out)
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = [
            pool.submit(run, name, data, options.out, seed)
            for name, data in sets.items()
            for seed in range(options.seeds)
        ]
        for done in waiting:
            rows += done.result()
            print(rows[-1], flush=True)
    with (options.out / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["set", "seed", "order", "budget", *MEASURES])
        writer.writeheader()
        writer.writerows(rows)
    print(table(rows))
    if options.table:
        command = f"python examples/annotation_order.py DATA --out OUT --seeds {options.seeds} --table FILE"
        options.table.write_text(f"Written by `{command}`.\n\n{table(rows)}", encoding="utf-8")


if __name__ == "__main__":
    main()
