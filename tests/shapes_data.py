"""Data folders of coloured squares at known places, one for each task."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
SQUARE = 12
COLOURS = {"blue": (40, 40, 230), "green": (40, 230, 40), "red": (230, 40, 40), "white": (230, 230, 230)}


def write_four_classes(root: Path) -> Path:
    """Write 24 images of one square each, its colour the class; all are annotated."""
    rng = np.random.default_rng(0)
    lines = ["file,class,split"]
    for i in range(24):
        name = list(COLOURS)[i % 4]
        image, mask = _ground(rng), _square(rng)
        image[mask] = COLOURS[name]
        _save(root / "images" / name / f"{i:02}.png", image)
        _save(root / "masks" / name / f"{i:02}.png", mask)
        lines.append(f"images/{name}/{i:02}.png,{name},{_split(i)}")
    (root / "split.csv").write_text("\n".join(lines) + "\n")
    return root


def write_several_labels(root: Path) -> Path:
    """Write 24 images with a red square on the left, a blue one on the right, both, or neither.

    Those whose number is divided by four (both squares) or leaves 1 (red) are annotated for each class, and
    the blue ones among the rest are not.
    """
    rng = np.random.default_rng(0)
    lines = ["file,labels,split,group"]
    for i in range(24):
        names = (["red", "blue"], ["red"], ["blue"], [])[i % 4]
        image = _ground(rng)
        for name in names:
            mask = _square(rng, left=name == "red")
            image[mask] = COLOURS[name]
            if i % 4 < 2:
                _save(root / "masks" / name / f"{i:02}.png", mask)
        _save(root / "images" / f"{i:02}.png", image)
        lines.append(f"{i:02}.png,{';'.join(names)},{_split(i)},{'day' if i % 3 else 'night'}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def write_numbers(root: Path) -> Path:
    """Write 24 images of one grey square each; the number, about 1000, grows with its brightness."""
    rng = np.random.default_rng(0)
    lines = ["file,value,split"]
    for i in range(24):
        brightness = int(rng.integers(60, 250))
        image, mask = _ground(rng), _square(rng)
        image[mask] = brightness
        _save(root / "images" / f"{i:02}.png", image)
        _save(root / "masks" / f"{i:02}.png", mask)
        lines.append(f"{i:02}.png,{1000 + brightness},{_split(i)}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def _split(i: int) -> str:
    return "train" if i < 12 else "val" if i < 16 else "test"


def _ground(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 30, (SIDE, SIDE, 3), dtype=np.uint8)


def _square(rng: np.random.Generator, *, left: bool | None = None) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    free = SIDE - SQUARE
    start = {None: 0, True: 0, False: SIDE // 2}[left]
    x = start + int(rng.integers(0, (free if left is None else SIDE // 2 - SQUARE) + 1))
    y = int(rng.integers(0, free + 1))
    mask[y : y + SQUARE, x : x + SQUARE] = True
    return mask


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels).save(path)
