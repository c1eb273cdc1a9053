"""Maps and marks that the formulas are tried on."""

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float64]


@pytest.fixture(params=range(5))
def case(request: pytest.FixtureRequest) -> tuple[Array, Array]:
    """Maps and annotations on one grid; every third image has only one sign, one has no mark."""
    rng = np.random.default_rng(request.param)
    maps = rng.random((5, 4, 5)).round(2)  # rounding makes ties
    marks = rng.choice([-1, 0, 0, 1], size=(5, 4, 5)).astype(float)
    marks[1], marks[2], marks[3] = marks[1].clip(min=0), marks[2].clip(max=0), 0
    return maps, marks
