"""Draw docs/pictures/demo.png from the runs of `make demo`: python docs/pictures/make.py demo

Rows: the first test digits whose decoy lies and that plain training gets wrong, each of another class.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from PIL import Image

from lookright.config import DataConfig
from lookright.data import load_image, read_annotations
from lookright.report.overlay import heat, outline
from lookright.report.runs import read_run

COLUMNS = {"baseline": "plain training", "res-g": "RES-G", "evidence": "evidence"}
ROWS, SIDE = 3, 192

demo = Path(sys.argv[1])
runs = {method: read_run(demo / "runs" / f"{method}-0") for method in COLUMNS}
items = {item.id: item for item in read_annotations(DataConfig(data=demo / "data")).split("test").items}
wrong = [
    r for r in runs["baseline"].evaluation.results.values() if r.group == "conflicting" and not r.correct
]
chosen = list({result.label: result for result in reversed(wrong)}.values())[-ROWS:][::-1]

figure, axes = plt.subplots(ROWS, 1 + len(COLUMNS), figsize=(7.2, 6.0), facecolor="white")
for row, result in zip(axes, chosen, strict=True):
    photo = load_image(items[result.id].path).resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGBA")
    marks = outline(items[result.id].marks.render(), (SIDE, SIDE))
    row[0].imshow(Image.alpha_composite(photo, marks))
    row[0].set_ylabel(f"a {result.label}", rotation=0, labelpad=18, va="center")
    for axis, method in zip(row[1:], COLUMNS, strict=True):
        evaluation = runs[method].evaluation
        seen = evaluation.results[result.id]
        axis.imshow(Image.alpha_composite(photo, heat(evaluation.explanations[result.id], (SIDE, SIDE))))
        axis.set_xlabel(f"{'✓' if seen.correct else '✗'} says {seen.predicted}", fontsize=9)
for axis in axes.flat:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
axes[0][0].set_title("annotation", fontsize=10)
for axis, (method, title) in zip(axes[0][1:], COLUMNS.items(), strict=True):
    accuracy = runs[method].evaluation.figures["accuracy"].value
    axis.set_title(f"{title}\naccuracy {accuracy:.0%}", fontsize=10)
figure.tight_layout(h_pad=0.6, w_pad=0.4)
picture = Path(__file__).with_name("demo.png")
figure.savefig(picture, dpi=110)
Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)
