"""Figures of a predicted number, against scikit-learn and SciPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as oracle

from lookright.errors import NonFiniteError
from lookright.metrics import PerImage, regression_performance, regression_rows, summarize_regression
from lookright.metrics.summary import LOCALIZATION


def test_figures_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 8, (50,), generator=generator).float() * 3 - 5  # with ties
    predicted = values + torch.randn(50, generator=generator).round(decimals=1)
    ours, truth = predicted.double().numpy(), values.double().numpy()
    expected = {
        "mae": oracle.mean_absolute_error(truth, ours),
        "rmse": oracle.root_mean_squared_error(truth, ours),
        "r2": oracle.r2_score(truth, ours),
        "spearman": stats.spearmanr(truth, ours).statistic,
    }
    found = regression_performance(predicted, values)
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, abs=1e-9)
    assert {figure.n for figure in found.values()} == {50}


def test_what_is_undefined() -> None:
    constant = regression_performance(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]))
    assert {name: figure.n for name, figure in constant.items()} == {
        "mae": 2,
        "rmse": 2,
        "r2": 0,
        "spearman": 0,
    }
    same_prediction = regression_performance(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 4.0]))
    assert same_prediction["r2"].n == 2
    assert same_prediction["spearman"].n == 0
    nothing = regression_performance(torch.zeros(0), torch.zeros(0))
    assert {figure.n for figure in nothing.values()} == {0}


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predicted, values: \(N,\) each"):
        regression_performance(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(NonFiniteError, match=r"row\(s\) \[1\]"):
        regression_performance(torch.tensor([0.0, float("inf")]), torch.zeros(2))


def test_rows_and_summary(tmp_path: Path) -> None:
    predicted, values = torch.tensor([2.5, -1.0, 0.1]), torch.tensor([2.0, 1.0, 0.1])
    groups = ["day", "night", None]
    table = regression_rows(
        ids=["a", "b", "c"],
        files=["a.jpg", "b.jpg", "c.jpg"],
        values=values,
        predicted=predicted,
        annotated=torch.tensor([True, True, False]),
        groups=groups,
        localization={name: torch.tensor([0.5, 0.25, np.nan]) for name in LOCALIZATION},
    )
    assert table.label == ("2.0", "1.0", "0.1")
    assert table.correct == (None, None, None)
    table.to_csv(tmp_path / "per_image.csv")
    assert repr(PerImage.from_csv(tmp_path / "per_image.csv")) == repr(table)
    summary = summarize_regression(table, predicted, values, groups)
    assert summary["mae"] == {"value": pytest.approx(2.5 / 3), "n": 3}
    assert summary["iou"] == {"value": 0.375, "n": 2}
    assert summary["worst_group_mae"] == {"value": 2.0, "n": 1, "group": "night"}
    assert "reasonability_matrix" not in summary
