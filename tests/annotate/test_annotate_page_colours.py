"""The two inks, as people with each kind of colour blindness see them.

The matrices are those of Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of
color vision deficiency" (IEEE TVCG 2009), severity 1, on linear RGB. Distances are Euclidean in CIE Lab,
where about 2.3 is just noticeable (Mahy et al. 1994).
"""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb2lab

import lookright.annotate

PAGE = Path(lookright.annotate.__file__).parent / "page"

SEEN_BY = {
    "others": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}

INKS_APART = 15
"""Of the two inks themselves: six times what is just noticeable."""
HATCH_APART = 20
"""Of the dark stripes of the hatch from what is beside them: on a photo, of which the even ink lets half
through, these tell the inks apart."""

GREYS = (0, 64, 128, 192, 255)
"""Of photos that lie under the inks."""

Colour = NDArray[np.float64]


def inks() -> dict[str, Colour]:
    """Red, green, blue and opacity of each colour of the canvas."""
    source = (PAGE / "inks.js").read_text(encoding="utf-8")
    found = re.findall(r"^const (\w+) = rgba\(([\d, ]+)\);$", source, flags=re.MULTILINE)
    return {name: np.array(numbers.split(", "), dtype=float) for name, numbers in found}


def swatches() -> dict[str, Colour]:
    """Red, green and blue of each colour that stands for an ink beside the canvas."""
    source = (PAGE / "style.css").read_text(encoding="utf-8")
    found = re.findall(r"--(positive|negative): rgb\(([\d ]+)\);", source)
    return {name: np.array(numbers.split(), dtype=float) for name, numbers in found}


def over(grey: float, ink: Colour) -> Colour:
    """What is seen of an ink over a photo."""
    opacity = ink[3] / 255
    return ink[:3] * opacity + grey * (1 - opacity)


def lab(colour: Colour, seen_by: str) -> Colour:
    part = colour / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    seen = (SEEN_BY[seen_by] @ linear).clip(0, 1)
    return np.asarray(rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)))


def apart(one: Colour, other: Colour, seen_by: str) -> float:
    return float(np.linalg.norm(lab(one, seen_by) - lab(other, seen_by)))


def test_the_swatches_have_the_colours_of_the_inks() -> None:
    shown = swatches()
    np.testing.assert_array_equal(shown["positive"], inks()["BLUE"][:3])
    np.testing.assert_array_equal(shown["negative"], inks()["PINK"][:3])


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_greys_are_seen_as_they_are(seen_by: str) -> None:
    for grey in GREYS:
        assert lab(np.full(3, float(grey)), seen_by)[1:] == pytest.approx([0, 0], abs=0.01)


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_the_inks_are_told_apart(seen_by: str) -> None:
    shown = swatches()
    assert apart(shown["positive"], shown["negative"], seen_by) >= INKS_APART


@pytest.mark.parametrize("seen_by", SEEN_BY)
@pytest.mark.parametrize("grey", GREYS)
def test_the_hatch_is_seen_on_every_photo(seen_by: str, grey: int) -> None:
    colours = {name: over(grey, ink) for name, ink in inks().items()}
    for beside in ("PINK", "BLUE"):
        assert apart(colours["PINK_SHADE"], colours[beside], seen_by) >= HATCH_APART
