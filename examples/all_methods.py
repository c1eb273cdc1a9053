"""Every method beside plain training, on decoy digits or on photos: one table. Finished runs are kept.

python examples/all_methods.py digits --out runs/all-digits --table runs/all-digits/table.md
python examples/all_methods.py ../shared/data/gender_coco --out runs/all --table runs/all/table.md
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import statistics
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookright.config import TrainConfig
from lookright.data import write_decoy_digits
from lookright.demo import DECOY
from lookright.engine.evaluate import evaluate
from lookright.engine.measure import measure
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.errors import LookrightError
from lookright.files import replacing
from lookright.losses import METHODS
from lookright.report.headline import DECOY_SPLIT

BOUNDS = ("cdep", "r4", "ibp-ex")
"""A pass of pairs through the whole network: on decoy digits alone."""
VIT = "examples.tiny_vit:tiny_vit"
NO_MEASURE = ("baseline", "ce", "exchange", "complete", "isolate")
"""Supervise no explanation, so have no explanation loss to measure."""
PUBLISHED = [n for n in METHODS if n not in (*NO_MEASURE, "auto", "lookright", "soft-iou")] + ["ce"]
"""Those of others, and `evidence`: parts and sums of ours are measured by the grids of docs/evidence."""


@dataclass(frozen=True)
class Case:
    """A method, and the plain training that it is compared with."""

    config: TrainConfig
    plain: TrainConfig

    @property
    def name(self) -> str:
        """The method, and what is special about its run."""
        notes = []
        if self.config.backbone != TrainConfig.backbone and self.config.backbone == VIT:
            notes.append("tiny ViT")
        if self.config.gradient_at != "image" and "input-gradient" in explainer_of(self.config.method):
            notes.append("at frozen features")
        return self.config.method + (f" ({', '.join(notes)})" if notes else "")


def explainer_of(method: str) -> str:
    """What a method of ours is defined on; empty for the explainer of the run."""
    info = METHODS.get(method.partition("(")[0])
    return (info.loss.request.explainer or "") if info is not None and info.loss is not None else ""


def digits(out: Path) -> tuple[TrainConfig, list[str]]:
    """Decoy digits as `lookright demo` has them, and all methods."""
    data = out / "data"
    if not data.exists():
        write_decoy_digits(data, per_class_train=60, per_class_val=10, per_class_test=40, decoy=DECOY)
    config = TrainConfig(
        data=data,
        backbone="small_cnn",
        weights="none",
        train="all",
        image_size=32,
        batch_size=50,
        epochs=15,
        lr=3e-3,
        flip=False,
        best="last",
        accelerator="cpu",
    )
    return config, [*PUBLISHED, "gradia(reasonability=true)"]


def photos(data: Path) -> tuple[TrainConfig, list[str]]:
    """50 annotated photos per class on frozen features, and the methods that can work on these."""
    config = TrainConfig(
        data=data, train_per_class=50, annotated_per_class=50, negatives_outside=0.1, gradient_at="frozen"
    )
    needs_all = (*BOUNDS, "ce", "robust-vit")
    methods = [name for name in PUBLISHED if name not in needs_all]
    return config, [
        *(f"{m}(layers=last)" if m == "tap" else m for m in methods),
        "gradia(reasonability=true)",
    ]


def cases(config: TrainConfig, methods: list[str], seeds: list[int], out: Path) -> list[Case]:
    """Name a run folder for every method and seed."""
    found = []
    for method in methods:
        for seed in seeds:
            own = config
            if method.startswith("robust-vit"):
                own = replace(own, backbone=VIT, explainer="attention-relevance", epochs=30, lr=1e-3)
            suffix = "-vit" if own is not config else ""
            plain = replace(own, method="baseline", seed=seed, out=out / f"baseline{suffix}-{seed}")
            slug = re.sub(r"[^\w-]+", "-", method).strip("-")
            found.append(
                Case(replace(own, method=method, seed=seed, out=out / f"{slug}{suffix}-{seed}"), plain)
            )
    return found


def run(config: TrainConfig, splits: list[str]) -> dict[str, float]:
    """Train and evaluate, unless that is done; give the figures."""
    out = Path(str(config.out))
    folder = RunFolder(out)
    if not all((folder.evaluation(split) / "metrics.json").exists() for split in splits):
        print(f"== {out}", flush=True)
        train(config, "examples/all_methods.py")
        for split in splits:
            evaluate(out, split=split, progress=False)
    figures = {}
    for split in splits:
        read = json.loads((folder.evaluation(split) / "metrics.json").read_text(encoding="utf-8"))
        for name in ("accuracy", "iou", "epg"):
            figures |= {f"{split}/{name}": read[name]["value"], f"{split}/{name}/n": read[name]["n"]}
    return figures


def own_measure(case: Case) -> tuple[float, float] | None:
    """The method's explanation loss on the test images: after plain training, and after training with it."""
    if case.config.method in NO_MEASURE:
        return None
    method = "res-g" if case.config.method == "res-l" else case.config.method  # res-l: its imputer is gone
    options: dict[str, Any] = {
        "gradient_at": case.config.gradient_at,
        "negatives_outside": case.config.negatives_outside,
    }
    return (
        measure(Path(str(case.plain.out)), method, **options),
        measure(Path(str(case.config.out)), method, **options),
    )


def spread(values: list[float]) -> str:
    """Mean and standard deviation over the seeds."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {sd:.3f}"


def line(
    name: str, runs: list[dict[str, float]], measures: list[tuple[float, float] | None], splits: list[str]
) -> str:
    """One row of the table."""
    cells = [spread([r[f"{split}/accuracy"] for r in runs]) for split in splits]
    cells += [spread([r[f"test/{figure}"] for r in runs]) for figure in ("iou", "epg")]
    defined = [f"{r['test/epg/n']:.0f}" for r in runs if r["test/epg/n"] < r["test/iou/n"]]
    if defined:  # a map without positive energy has no share of it
        cells[-1] += f" (on {', '.join(defined)} images)"
    known = [m for m in measures if m is not None]
    if known:
        ratio = statistics.median(after / before for before, after in known)
        better = sum(after < before for before, after in known)
        cells.append(f"{ratio:.2f} ({better} of {len(known)})")
    else:
        cells.append("–")
    return f"| {name} | " + " | ".join(cells) + " |"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="'digits', or a data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--table", type=Path, help="also write the table as Markdown")
    parser.add_argument("--methods", nargs="+", help="these alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--score", default="auto", help="what of the class is explained: as lookright train")
    return parser


def main() -> None:
    """Run what is missing, then write the table."""
    options = make_parser().parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.simplefilter("ignore", UserWarning)
    config, methods = digits(options.out) if options.data == "digits" else photos(Path(options.data))
    config = replace(config, score=options.score)
    splits = ["test", DECOY_SPLIT] if options.data == "digits" else ["test"]
    rows: dict[str, list[Case]] = {}
    for case in cases(config, options.methods or methods, options.seeds, options.out):
        rows.setdefault(case.name, []).append(case)
    heads = ["accuracy" if split == "test" else "accuracy, decoy kept" for split in splits]
    lines = [
        f"| method | {' | '.join(heads)} | IoU | EPG | own loss, after / before |",
        "|---|" + "---:|" * (len(heads) + 3),
    ]
    for name, of_method in rows.items():
        plain = [run(case.plain, splits) for case in of_method]
        label = "baseline (tiny ViT)" if of_method[0].plain.backbone == VIT else "baseline"
        baseline = line(label, plain, [], splits)
        if baseline not in lines:
            lines.append(baseline)
        figures = [run(case.config, splits) for case in of_method]
        lines.append(line(name, figures, [own_measure(case) for case in of_method], splits))
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    print(table)
    if options.table:
        with replacing(options.table) as temporary:
            temporary.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except LookrightError as error:
        print(f"all_methods: {error}", file=sys.stderr)
        sys.exit(2)
