"""What each kind of rough annotation looks like, on a drawn animal and its ball: the picture of docs/data.md.

python examples/corruptions.py --picture docs/pictures/corruptions.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.data.corrupt import parse_corruption
from lookright.data.shapes import Polygon, Scribble

HEIGHT, WIDTH = 150, 210
AS_DRAWN = "as drawn"
ROWS = {
    "inaccurate\nboundary": ("dilate(0.1)", "erode(0.1)", "jitter(0.05)", "polygon(8)", "box"),
    "incomplete\nregion": ("drop(0.2)", "drop(0.5)", "drop(0.8)", "part", "scribble(3)"),
    "binary, graded,\nand several": (
        *(AS_DRAWN, "graded", "graded + binary(0.5)"),
        *("erode(0.1) + drop(0.3)", "box + graded"),
    ),
}
LEGS = ((60, 95, 58, 128), (78, 98, 78, 128), (122, 98, 122, 128), (138, 94, 142, 128))
EAR = (36, 26, 48, 22, 46, 42)


def draw() -> NDArray[np.float32]:
    """Draw two parts that do not touch, an animal and a ball: (H, W), 0 or 1."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    body = ((x - 98) / 50) ** 2 + ((y - 80) / 22) ** 2 < 1
    head = ((x - 44) / 21) ** 2 + ((y - 50) / 17) ** 2 < 1
    ball = (x - 190) ** 2 + (y - 116) ** 2 < 13**2
    marks: NDArray[np.bool_] = body | head | ball
    neck, tail = ((50, 56), (74, 76)), ((142, 70), (162, 58), (170, 38))
    Scribble(neck, 24).fill(marks)
    Scribble(tail, 8).fill(marks)
    for left, top, right, bottom in LEGS:
        Scribble(((left, top), (right, bottom)), 10).fill(marks)
    Polygon(tuple(zip(EAR[::2], EAR[1::2], strict=True))).fill(marks)
    return marks.astype(np.float32)


def plot(path: Path, *, seed: int) -> None:
    """Fill what is marked, the stronger the darker; a line around what was drawn."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    drawn = draw()
    figure, axes = plt.subplots(len(ROWS), 5, figsize=(9.6, 4.6), layout="constrained", facecolor="white")
    for (title, specs), row in zip(ROWS.items(), axes, strict=True):
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", labelpad=10)
        for spec, axis in zip(specs, row, strict=True):
            rough = drawn if spec == AS_DRAWN else parse_corruption(spec)(drawn, seed=seed, item_id="animal")
            axis.imshow(rough, cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
            axis.contour(drawn, [0.5], colors="black", linewidths=0.7)
            axis.set_title(spec, fontsize=8, family="sans-serif" if spec == AS_DRAWN else "monospace")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("0.8")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, required=True, help="the picture, a .png")
    parser.add_argument("--seed", type=int, default=0, help="as --seed of training")
    return parser


def main() -> None:
    """Draw the picture."""
    options = make_parser().parse_args()
    plot(options.picture, seed=options.seed)


if __name__ == "__main__":
    main()
