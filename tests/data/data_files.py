"""Photos and masks for tests, a few pixels large."""

from pathlib import Path

import numpy as np
from PIL import Image


def save_photo(path: Path, size: tuple[int, int] = (12, 8)) -> Path:
    """Write a photo whose colours follow from its path, so that no two are the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list("/".join(path.parts[-3:]).encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_mask(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
