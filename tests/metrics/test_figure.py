from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lookright.metrics import Figure


def test_mean_equals_nanmean() -> None:
    values = np.random.default_rng(0).random(50)
    values[::7] = np.nan
    figure = Figure.mean(values.tolist())
    assert figure.value == pytest.approx(np.nanmean(values))
    assert figure.n == np.isfinite(values).sum()


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_undefined_is_null_in_json(values: list[float]) -> None:
    figure = Figure.mean(values)
    assert json.dumps(figure.as_json(), allow_nan=False) == '{"value": null, "n": 0}'


def test_json() -> None:
    assert json.dumps(Figure(0.25, 4).as_json(), allow_nan=False) == '{"value": 0.25, "n": 4}'


@pytest.mark.parametrize(("value", "n"), [(0.5, 0), (math.nan, 3), (math.inf, 3), (math.inf, 0), (0.5, -1)])
def test_contradictions_are_refused(value: float, n: int) -> None:
    with pytest.raises(ValueError, match=r"value: |n: "):
        Figure(value, n)
