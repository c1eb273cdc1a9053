"""Cells are not pixels: does the bound of `evidence_outside` hold when background pixels are replaced?

Replaces the background pixels of the cells outside the annotation, in the images of trained runs, and
compares the change of the logit difference with the bound, which is about the features of those cells. Runs
of one data set and method that differ in their seed are one row: mean ± standard deviation over them.

python examples/all_methods.py digits --out runs/gap-digits --methods baseline res-g evidence auto
python examples/compare_methods.py ../shared/data/gender_coco --out runs/gap --train head \\
    --methods baseline res-g evidence auto
python examples/compare_methods.py ../shared/data/gender_coco --out runs/gap-stage \\
    --methods baseline res-g evidence auto
python examples/pixel_gap.py runs/gap-digits/*-? runs/gap/*-? runs/gap-stage/*-? --limit 64 \\
    --page docs/theory.md
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rademacher import around, write_between
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from lookright.engine.channels_last import place
from lookright.engine.loading import load_batches
from lookright.engine.run_images import cell_evidence, images_of
from lookright.engine.trained_run import TrainedRun, open_run
from lookright.errors import ConfigError, LookrightError
from lookright.explainers import CellEvidence
from lookright.losses import Evidence
from lookright.metrics import evidence_outside, outside_cells
from lookright.resize import resize_annotation

MARKS = "<!-- pixel gap: begin -->", "<!-- pixel gap: end -->"
ROUNDING = 1e-4  # of a logit


def blurred(image: Tensor) -> Tensor:
    """Gaussian blur of a fourteenth of the image."""
    sigma = image.shape[-1] / 14
    blurry: Tensor = gaussian_blur(image, kernel_size=2 * round(2 * sigma) + 1, sigma=sigma)
    return blurry


def mean_colour(image: Tensor) -> Tensor:
    """The image's own mean colour everywhere."""
    return image.mean(dim=(2, 3), keepdim=True).expand_as(image)


REPLACEMENTS: dict[str, Callable[[Tensor], Tensor]] = {"blur": blurred, "mean colour": mean_colour}


def background(annotation: Tensor) -> Tensor:
    """The pixels that are not marked positive, (B, 1, H, W) bool."""
    return annotation <= 0


@dataclass(frozen=True)
class Compared:
    """What replacing pixels did to the N images of a run, beside what the cells allow."""

    change: Tensor
    """(N,) of the logit difference between the predicted class and the runner-up"""
    inside: Tensor
    """(N,) share of the change that comes through cells marked positive"""
    positive: Tensor
    """(N,) P: how far scaling cells outside can lower it"""
    negative: Tensor
    """(N,) N: how far scaling cells outside can raise it"""
    certified: Tensor
    """(N,) bool"""
    kept: Tensor
    """(N,) bool, whether the prediction is the same"""
    uncounted: Tensor
    """(N,) how much of P + N lies in cells that the loss `evidence` leaves out"""

    def figures(self) -> tuple[float, ...]:
        """The figures of `HEAD`; NaN for a share of no images."""
        bound = torch.maximum(self.positive, self.negative)
        outside = self.change - self.inside
        flipped = ~self.kept
        return (
            _mean(self.change.abs()),
            _mean(bound),
            _percent(self.uncounted.sum() / (self.positive + self.negative).sum()),
            _mean(self.inside.abs()),
            _mean(outside.abs()),
            _percent(self.change.abs() > bound + ROUNDING),
            _percent((outside < -self.positive - ROUNDING) | (outside > self.negative + ROUNDING)),
            _percent(self.certified),
            _percent(flipped[self.certified]),
            _percent(flipped[~self.certified]),
        )


HEAD = (
    *(
        "mean change",
        "mean bound",
        "of P + N not counted, %",
        "through cells inside",
        "through cells outside",
    ),
    *("beyond the bound, %", "cells outside beyond P or N, %"),
    *("certified, %", "of these changed, %", "of the others changed, %"),
)
DIGITS = (2, 2, 0, 2, 2, 0, 0, 0, 0, 0)


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else math.nan


def _percent(shares: Tensor) -> float:
    return 100 * _mean(shares.float().reshape(-1))


@torch.no_grad()
def compare(run: TrainedRun, cells: CellEvidence, split: str, limit: int) -> dict[str, Compared]:
    """Replacement -> what it did to at most so many annotated images, spread over the split."""
    network = run.classifier.network.eval()
    place(network, torch.device("cpu"))
    _, dataset = images_of(run, split, run.config)
    parts: dict[str, list[tuple[Tensor, ...]]] = {}
    every, before = math.ceil(dataset.annotated_images / limit), 0
    for batch in load_batches(dataset, 25, device="cpu"):
        number = before + batch.annotated.cumsum(0)
        before += int(batch.annotated.sum())
        here = batch.annotated & (number % every == 0)
        image, annotation = batch.image[here], batch.annotation[here]
        if not len(image):
            continue
        with cells.watch() as seen:
            logits = network(image)
        pair = logits.topk(2, dim=1).indices
        evidence = cells.evidence(seen)
        outside = outside_cells(annotation, (evidence.shape[2], evidence.shape[3]))
        annotated = torch.ones(len(image), dtype=torch.bool)
        certified = evidence_outside(evidence, logits, annotation, annotated)["certified"]
        of_pair = evidence.take_along_dim(pair[:, :, None, None], dim=1)
        found = evidence_outside(of_pair, logits.take_along_dim(pair, dim=1), annotation, annotated)
        lead = of_pair[:, 0] - of_pair[:, 1]
        counted = Evidence().cells(resize_annotation(annotation, outside.shape[-2:]))
        uncounted = (lead.abs() * (outside & ~counted)[:, 0]).sum(dim=(1, 2))
        defined = certified.isfinite()
        pixels = F.interpolate(outside.float(), size=image.shape[-2:], mode="nearest") > 0
        pixels &= background(annotation)  # a cell outside may hold a bit of the object
        for name, replace in REPLACEMENTS.items():
            with cells.watch() as seen:
                after = network(torch.where(pixels, replace(image), image))
            first, second = after.take_along_dim(pair, dim=1).unbind(dim=1)
            new = cells.evidence(seen).take_along_dim(pair[:, :, None, None], dim=1)
            row = (
                first - second - found["outside_margin"],
                ((new[:, 0] - new[:, 1] - lead) * ~outside[:, 0]).sum(dim=(1, 2)),
                found["positive_outside"],
                found["negative_outside"],
                certified == 1,
                after.argmax(dim=1) == pair[:, 0],
                uncounted,
            )
            parts.setdefault(name, []).append(tuple(column[defined] for column in row))
    return {
        key: Compared(*(torch.cat(column) for column in zip(*rows, strict=True)))
        for key, rows in parts.items()
    }


def measure(path: Path, split: str, limit: int) -> tuple[tuple[str, str], dict[str, Compared]]:
    """Data set and method of a run, and what replacing pixels did to its images.

    Raises:
        LookrightError: no such run or split, or a network without a pooled linear head.
    """
    run = open_run(path)
    cells = cell_evidence(run)
    if cells is None:
        raise ConfigError(f"{path}: needs several classes, and pooling and one linear layer at the end")
    found = compare(run, cells, split, limit)
    if not found:
        raise ConfigError(f"{path}: no image of '{split}' with a positive mark")
    data = Path(str(run.config.data)).resolve()
    name = data.parent.name if data.name == "data" else data.name
    return (f"{name}, {run.config.train} learns", run.config.method), found


def table(runs: Sequence[tuple[tuple[str, str], dict[str, Compared]]]) -> str:
    """The figures of all runs as Markdown, runs of one data set and method in one row."""
    groups: dict[tuple[str, str, str], list[tuple[float, ...]]] = {}
    for (data, method), found in runs:
        for replacement, compared in found.items():
            groups.setdefault((data, method, replacement), []).append(compared.figures())
    lines = [("data", "method", "replaced by", *HEAD), ("---",) * (3 + len(HEAD))]
    for key, rows in groups.items():
        cells = [
            _cell(column, digits) for column, digits in zip(zip(*rows, strict=True), DIGITS, strict=True)
        ]
        lines.append((*key, *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(values: Sequence[float], digits: int) -> str:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "-"
    mean = f"{statistics.mean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="run folders, of networks with a pooled linear head"
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=100, help="annotated images, of each run")
    parser.add_argument("--page", type=Path, help="page with the markers; by default the table is printed")
    return parser


def main() -> None:
    """Compare, and print or write the table."""
    options = make_parser().parse_args()

    try:
        if options.page is not None:
            around(options.page, MARKS)  # before anything is computed
        text = table([measure(path, options.split, options.limit) for path in options.runs])
        text = (
            f"{len(options.runs)} runs, at most {options.limit} images of '{options.split}' each.\n\n{text}"
        )
        if options.page is None:
            print(text)
        else:
            write_between(options.page, text, MARKS)
    except LookrightError as error:
        make_parser().exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
