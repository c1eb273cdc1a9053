"""Cells are not pixels: does the bound of `evidence_outside` hold when background pixels are replaced?

Replaces the pixels outside the annotation of a run's images and compares the change of the logit difference
with the bound, which is about the features of cells:

lookright train ../shared/data/gender_coco --out runs/gap --method baseline --train head --epochs 20 \
    --train-per-class 50
python examples/pixel_gap.py runs/gap --page docs/theory.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rademacher import write_between
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from lookright.engine.evaluate import cell_evidence, images_of
from lookright.engine.loading import load_batches
from lookright.engine.trained_run import TrainedRun, open_run
from lookright.errors import ConfigError, LookrightError
from lookright.explainers import CellEvidence
from lookright.metrics import evidence_outside, outside_cells

MARKS = "<!-- pixel gap: begin -->", "<!-- pixel gap: end -->"


def blurred(image: Tensor) -> Tensor:
    """Gaussian blur of a fourteenth of the image."""
    sigma = image.shape[-1] / 14
    return gaussian_blur(image, kernel_size=2 * round(2 * sigma) + 1, sigma=sigma)


def mean_colour(image: Tensor) -> Tensor:
    """The image's own mean colour everywhere."""
    return image.mean(dim=(2, 3), keepdim=True).expand_as(image)


REPLACEMENTS: dict[str, Callable[[Tensor], Tensor]] = {"blur": blurred, "mean colour": mean_colour}


@dataclass(frozen=True)
class Compared:
    """What replacing pixels did to N images, beside what the cells allow."""

    change: Tensor
    """(N,) of the logit difference between the predicted class and the runner-up"""
    positive: Tensor
    """(N,) P: how far scaling cells outside can lower it"""
    negative: Tensor
    """(N,) N: how far scaling cells outside can raise it"""
    certified: Tensor
    """(N,) bool"""
    kept: Tensor
    """(N,) bool, whether the prediction is the same"""

    def row(self) -> list[str]:
        """The figures of the table."""
        bound = torch.maximum(self.positive, self.negative)
        size = self.change.abs()
        beyond = size > bound
        excess = f"{(size - bound)[beyond].mean():.2f}" if beyond.any() else "-"
        wrong_side = (-self.change > self.positive) | (self.change > self.negative)
        flipped = ~self.kept
        sure = int(self.certified.sum())
        return [
            f"{size.mean():.2f}",
            f"{bound.mean():.2f}",
            f"{int(beyond.sum())} of {len(size)}",
            excess,
            f"{int(wrong_side.sum())} of {len(size)}",
            f"{int((flipped & self.certified).sum())} of {sure}",
            f"{int((flipped & ~self.certified).sum())} of {len(size) - sure}",
        ]


HEAD = (
    *("pixels replaced", "by", "mean change", "mean bound", "beyond the bound", "by, on average"),
    *("beyond P or N", "flips among certified", "flips among the others"),
)


def regions(annotation: Tensor, grid: tuple[int, int]) -> Iterator[tuple[str, Tensor]]:
    """Name the pixels to replace, (B, 1, H, W) bool: all that are not marked, and those of cells outside."""
    yield "not marked positive", annotation <= 0
    cells = outside_cells(annotation, grid).float()
    yield "in cells outside", F.interpolate(cells, size=annotation.shape[-2:], mode="nearest") > 0


@torch.no_grad()
def compare(run: TrainedRun, cells: CellEvidence, split: str, limit: int) -> dict[tuple[str, str], Compared]:
    """(pixels, replacement) -> what it did to the annotated images of a split."""
    network = run.classifier.network.eval()
    _, dataset = images_of(run, split, run.config)
    parts: dict[tuple[str, str], list[tuple[Tensor, ...]]] = {}
    seen_images = 0
    for batch in load_batches(dataset, 25, device="cpu"):
        here = batch.annotated & (batch.annotation > 0).flatten(1).any(dim=1)
        here &= here.cumsum(0) <= limit - seen_images
        seen_images += int(here.sum())
        image, annotation = batch.image[here], batch.annotation[here]
        if not len(image):
            continue
        with cells.watch() as seen:
            logits = network(image)
        pair = logits.topk(2, dim=1).indices
        evidence = cells.evidence(seen)
        grid = (evidence.shape[2], evidence.shape[3])
        annotated = torch.ones(len(image), dtype=torch.bool)
        certified = evidence_outside(evidence, logits, annotation, annotated)["certified"]
        of_pair = evidence.take_along_dim(pair[:, :, None, None], dim=1)
        found = evidence_outside(of_pair, logits.take_along_dim(pair, dim=1), annotation, annotated)
        defined = certified.isfinite()
        for region, pixels in regions(annotation, grid):
            for name, replace in REPLACEMENTS.items():
                after = network(torch.where(pixels, replace(image), image))
                first, second = after.take_along_dim(pair, dim=1).unbind(dim=1)
                row = (
                    first - second - found["outside_margin"],
                    found["positive_outside"],
                    found["negative_outside"],
                    certified == 1,
                    after.argmax(dim=1) == pair[:, 0],
                )
                parts.setdefault((region, name), []).append(tuple(column[defined] for column in row))
    return {
        key: Compared(*(torch.cat(column) for column in zip(*rows, strict=True)))
        for key, rows in parts.items()
    }


def main() -> None:
    """Compare, and print or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder, of a network with a pooled linear head")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=100, help="images with a positive mark to look at")
    parser.add_argument("--page", type=Path, help="page with the markers; by default the table is printed")
    options = parser.parse_args()

    try:
        run = open_run(options.run)
        cells = cell_evidence(run)
        if cells is None:
            raise ConfigError("run: needs several classes, and pooling and one linear layer at the end")
        found = compare(run, cells, options.split, options.limit)
    except LookrightError as error:
        parser.exit(1, f"{error}\n")
    if not found:
        parser.exit(1, f"{options.split}: no image with a positive mark\n")
    rows = [HEAD, ("---",) * len(HEAD), *((*key, *compared.row()) for key, compared in found.items())]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if options.page is None:
        print(table)
    else:
        write_between(options.page, table, MARKS)


if __name__ == "__main__":
    main()
