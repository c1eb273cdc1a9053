"""Compare methods on a data folder over several seeds: train, evaluate, report. Runs that are done are kept.

With --train head all runs learn at once (docs/many.md).

python examples/compare_methods.py ../shared/data/gender_coco --weighting fixed \\
    --out runs/gender --table runs/gender/table.md
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import warnings
from pathlib import Path

from lookright.config import TrainConfig
from lookright.engine.evaluate import evaluate
from lookright.engine.features import FeatureStore
from lookright.engine.many import train_many
from lookright.engine.run_folder import RunFolder
from lookright.errors import LookrightError
from lookright.report import build_report, write_markdown

STORE = FeatureStore()
METHODS = ["baseline", "gradia", "haics", "res-g", "res-l", "evidence"]
"""What is compared unless --methods says otherwise; it takes any method that `lookright train` takes."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and report.html")
    parser.add_argument("--table", type=Path, help="also write the table of figures as Markdown")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--per-class", type=int, default=50, help="training images, all annotated")
    parser.add_argument("--train", default="last-stage", choices=["all", "last-stage", "head"])
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--lr", type=float, default=TrainConfig.lr)
    parser.add_argument("--batchnorm", default="auto", choices=["auto", "train", "frozen"])
    parser.add_argument("--weighting", default="gradient", choices=["gradient", "fixed"])
    parser.add_argument("--overlap", type=float, default=0.0, help="evidence: weight of soft IoU")
    return parser


def main() -> None:
    """Run what is missing, then write the report and the table."""
    options = make_parser().parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.simplefilter("ignore", UserWarning)
    configs = [
        TrainConfig(
            data=options.data,
            out=options.out / f"{method}-{seed}",
            method=method,
            seed=seed,
            train=options.train,
            epochs=options.epochs,
            lr=options.lr,
            batchnorm=options.batchnorm,
            weighting=options.weighting,
            overlap=options.overlap,
            train_per_class=options.per_class,
            annotated_per_class=options.per_class,
        )
        for seed in options.seeds
        for method in options.methods
    ]
    train_many(
        [config for config in configs if not is_trained(config)],
        shlex.join(["python", *sys.argv]),
        store=STORE,
    )
    runs = [Path(str(config.out)) for config in configs]
    for out in runs:
        if not (RunFolder(out).evaluation("test") / "metrics.json").exists():
            print(f"== {out}", flush=True)
            evaluate(out, store=STORE)
    page = build_report(runs, options.out / "report.html", overwrite=True)
    print(f"written to {page}")
    if options.table:
        print(f"written to {write_markdown(runs, options.table, overwrite=True)}")


def is_trained(config: TrainConfig) -> bool:
    """Whether a run was trained to its end before."""
    folder = RunFolder(Path(str(config.out)))
    return folder.facts_file.exists() and folder.facts()["status"] == "finished"


if __name__ == "__main__":
    try:
        main()
    except LookrightError as error:
        print(f"compare_methods: {error}", file=sys.stderr)
        sys.exit(2)
