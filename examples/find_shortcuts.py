"""Does an audit find a shortcut by itself, and is it silent where there is none? Plain models, many seeds.

python examples/find_shortcuts.py ../shared/data --out runs/audits --table docs/audit_table.md

Models are trained without explanations, on digits with a patch and on photos with a stamped marker that
tell the class, and on the same data without. Each is audited on validation images, where the shortcut still
works: accuracy gives nothing away, and no annotation is used. A group is true if its markers hold at least
twice the evidence that an even map would give them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lookright.audit import Audit, Cluster, audit
from lookright.config import DataConfig, TrainConfig
from lookright.data import Decoy, write_decoy_digits
from lookright.data.masks import load_mask
from lookright.data.prepare import prepare_decoy
from lookright.engine.train import train
from lookright.prepare_config import DecoyConfig

TRUE_FROM = 2.0
"""Evidence on the marker, as a multiple of what an even map has there."""

DIGITS = Decoy(patch=6, contrast=0.5, noise=10.0)


@dataclass(frozen=True)
class Case:
    """A data set with a shortcut, or without."""

    name: str
    make: Callable[[Path, Path, int], Path]
    """photos, folder for what is made, seed -> data folder"""
    options: TrainConfig
    has_shortcut: bool


@dataclass(frozen=True)
class Outcome:
    """What the audit of one model came to."""

    accuracy: float
    clusters: int
    suspected: int
    true: int
    found: int
    """true ones that are suspected"""
    rank: int | None
    """place of the first true one in the list, from 1; None if there is none"""
    images: float
    """share of the images that lie in suspected clusters"""

    @property
    def false_alarms(self) -> int:
        """Suspected clusters that are not true."""
        return self.suspected - self.found


def digits(photos: Path, out: Path, seed: int, *, clean: bool = False) -> Path:
    """Decoy digits; without their patches if `clean`."""
    data = write_decoy_digits(
        out / f"{'clean' if clean else 'decoy'}-{seed}",
        per_class_train=60,
        per_class_val=50,
        per_class_test=10,
        seed=seed,
        decoy=DIGITS,
    )
    if clean:
        generator = np.random.default_rng(seed)
        for mask in (data / "negatives").rglob("*.png"):
            file = data / "images" / mask.relative_to(data / "negatives")
            pixels, patch = np.asarray(Image.open(file)).copy(), np.asarray(Image.open(mask)) > 0
            pixels[patch] = generator.normal(32, DIGITS.noise, int(patch.sum())).clip(0, 255)
            Image.fromarray(pixels).save(file)
            Image.fromarray(np.zeros_like(patch)).save(mask)
    return data


def clean_digits(photos: Path, out: Path, seed: int) -> Path:
    """Digits without patches."""
    return digits(photos, out, seed, clean=True)


def marked(name: str, position: Literal["corner", "anywhere"]) -> Callable[[Path, Path, int], Path]:
    """Photos with a marker: in a corner drawn at random, or anywhere beside the object."""

    def make(photos: Path, out: Path, seed: int) -> Path:
        data = out / f"{name}-{position}-{seed}"
        if not data.exists():
            prepare_decoy(
                DecoyConfig(
                    source=photos / name,
                    out=data,
                    marker="glyph",
                    size=0.2,
                    position=position,
                    val="train",
                    mark_negative=True,
                    seed=seed,
                )
            )
        return data

    return make


def as_it_is(name: str) -> Callable[[Path, Path, int], Path]:
    """Photos as they are."""
    return lambda photos, out, seed: photos / name


_OF_DIGITS = TrainConfig(
    backbone="small_cnn", weights="none", train="all", image_size=32, epochs=15, lr=0.003, method="baseline"
)
_OF_PHOTOS = TrainConfig(
    epochs=10, validate_every=5, lr=0.001, train_per_class=100, train="last-stage", method="baseline"
)

CASES = (
    Case("digits with a patch", digits, _OF_DIGITS, True),
    Case("digits without", clean_digits, _OF_DIGITS, False),
    Case("people, marker in a corner", marked("gender_coco", "corner"), _OF_PHOTOS, True),
    Case("people, marker anywhere", marked("gender_coco", "anywhere"), _OF_PHOTOS, True),
    Case("people as they are", as_it_is("gender_coco"), _OF_PHOTOS, False),
    Case("streets, marker in a corner", marked("street_boston_spain", "corner"), _OF_PHOTOS, True),
    Case("streets as they are", as_it_is("street_boston_spain"), _OF_PHOTOS, False),
    Case("pets as they are", as_it_is("pets_catdog"), _OF_PHOTOS, False),
)


def judge(found: Audit, data: Path, *, has_shortcut: bool) -> Outcome:
    """Compare what the audit suspects with where the markers lie."""
    looks = found.looks

    def is_true(cluster: Cluster) -> bool:
        if not has_shortcut:
            return False
        found_there = [_on_marker(looks.explanation[row], looks.file[row], data) for row in cluster.rows]
        evidence, area = np.array(found_there).T
        return bool(evidence.mean() >= TRUE_FROM * area.mean())

    true = [is_true(cluster) for cluster in found.clusters]
    suspected = [cluster.is_suspected for cluster in found.clusters]
    return Outcome(
        accuracy=found.accuracy or float("nan"),
        clusters=len(true),
        suspected=sum(suspected),
        true=sum(true),
        found=sum(one and other for one, other in zip(true, suspected, strict=True)),
        rank=true.index(True) + 1 if any(true) else None,
        images=sum(cluster.size for cluster in found.suspected) / len(found.looks),
    )


def _on_marker(explanation: Tensor, file: Path, data: Path) -> tuple[float, float]:
    """Share of the evidence that lies on the marker, and share of the image that the marker covers."""
    photo = file.resolve().relative_to((data / "images").resolve())
    marker = load_mask((data / "negatives" / photo).with_suffix(".png")) > 0
    large = F.interpolate(explanation[None, None], size=marker.shape, mode="bilinear", align_corners=False)
    evidence = large[0, 0].clamp(min=0).numpy()
    return float(evidence[marker].sum() / evidence.sum()), float(marker.mean())


def run(case: Case, photos: Path, out: Path, seed: int) -> Outcome:
    """Train a plain model and audit it on validation images."""
    data = case.make(photos, out / "data", seed)
    folder = out / "runs" / f"{case.name.replace(' ', '_').replace(',', '')}-{seed}"
    known = folder / "outcome.json"
    if known.exists():
        return Outcome(**json.loads(known.read_text(encoding="utf-8")))
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was stopped
    train(replace(case.options, data=data, out=folder, seed=seed))
    found = audit(str(folder), DataConfig(data=data), split="val", progress=False)
    outcome = judge(found, data, has_shortcut=case.has_shortcut)
    known.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    return outcome


def table(results: dict[str, list[Outcome]]) -> str:
    """Lay out the outcomes as Markdown: means over seeds."""
    lines = [
        "| plain model of | seeds | accuracy | groups | suspected | rank of the first true one | true ones "
        "suspected | false alarms | seeds with one |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, outcomes in results.items():
        ranks = [outcome.rank for outcome in outcomes if outcome.rank is not None]
        true = sum(outcome.true for outcome in outcomes)
        alarms = [outcome.false_alarms for outcome in outcomes]
        told = f"{statistics.median(ranks):g} (worst {max(ranks)})" if ranks else "–"
        found = f"{100 * sum(outcome.found for outcome in outcomes) / true:.0f} %" if true else "–"
        cells = (
            name,
            len(outcomes),
            f"{statistics.mean(outcome.accuracy for outcome in outcomes):.2f}",
            f"{statistics.mean(outcome.clusters for outcome in outcomes):.1f}",
            f"{statistics.mean(outcome.suspected for outcome in outcomes):.1f}",
            told,
            found,
            f"{statistics.mean(alarms):.1f}",
            sum(alarm > 0 for alarm in alarms),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder that holds gender_coco/, pets_catdog/, ...")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for what is made; what is done in it is used again"
    )
    parser.add_argument("--table", type=Path, help="file for the table")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds")
    return parser


def main(cases: Sequence[Case] = CASES) -> None:
    """Run all cases, print the table, write it."""
    options = make_parser().parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, list[Outcome]] = {}
    for seed in range(options.seeds):
        for case in cases:
            outcome = run(case, options.photos, options.out, seed)
            results.setdefault(case.name, []).append(outcome)
            print(seed, case.name, outcome, flush=True)
        if options.table:  # after each seed: what there is, should it be stopped
            command = f"python examples/find_shortcuts.py DATA --out OUT --seeds {seed + 1} --table FILE"
            options.table.write_text(f"Written by `{command}`.\n\n{table(results)}", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
