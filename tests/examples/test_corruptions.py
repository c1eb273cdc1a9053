"""The picture of the kinds of rough annotations."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from scipy import ndimage

from lookright.data.corrupt import KINDS, parse_corruption


def test_it_shows_every_kind(example: Callable[[str], ModuleType]) -> None:
    module = example("corruptions")
    specs = [spec for row in module.ROWS.values() for spec in row if spec != module.AS_DRAWN]
    shown = {type(kind) for spec in specs for kind in parse_corruption(spec).kinds}
    assert shown == set(KINDS.values())


def test_two_parts_are_drawn(example: Callable[[str], ModuleType]) -> None:
    drawn = example("corruptions").draw()
    assert ndimage.label(drawn)[1] == 2
    assert set(np.unique(drawn)) == {0, 1}


def test_the_same_picture_again_and_another_of_another_seed(run: Callable[..., None], tmp_path: Path) -> None:
    pictures = [tmp_path / "new" / f"{name}.png" for name in "abc"]
    for picture, seed in zip(pictures, (0, 0, 1), strict=True):
        run("corruptions", "--picture", picture, "--seed", seed)
    first, again, other = (picture.read_bytes() for picture in pictures)
    assert first == again != other
    assert Image.open(pictures[0]).size == (960, 460)
