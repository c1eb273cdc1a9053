"""A small data folder to break in every way."""

from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten cats and ten dogs of 12 x 8 pixels, the first four of each with a mask."""
    root = tmp_path / "pets"
    for name in ("cat", "dog"):
        for number in range(10):
            save_photo(root / "images" / name / f"{number}.png")
            if number < 4:
                mask = np.zeros((8, 12), dtype=bool)
                mask[2:6, 3:9] = True
                save_mask(root / "masks" / name / f"{number}.png", mask)
    return root
