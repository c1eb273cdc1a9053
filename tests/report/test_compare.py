import math
import statistics
from pathlib import Path

import pytest
from synthetic_runs import METHODS, Workshop

from lookright.config import INCIDENTAL
from lookright.errors import DataError
from lookright.report.compare import Spread, differing_options, group_by_method
from lookright.report.runs import read_runs


def test_spread_is_the_sample_standard_deviation() -> None:
    values = [0.61, 0.7, 0.64]
    spread = Spread.of(values, n=9)
    assert spread.mean == pytest.approx(statistics.mean(values))
    assert spread.sd == pytest.approx(statistics.stdev(values))
    assert Spread.of([0.5]).sd == 0
    assert math.isnan(Spread.of([math.nan]).mean)


def test_seeds_of_a_method_come_together_baseline_first(six_methods: list[Path]) -> None:
    methods = group_by_method(read_runs(six_methods[::-1]))
    assert [method.label for method in methods] == list(METHODS)
    assert all([run.config.seed for run in method.runs] == [0, 1] for method in methods)


def test_settings_of_one_method_are_told_apart(workshop: Workshop) -> None:
    runs = [
        workshop.make_run("a", "res-l", 0, imputer="s1"),
        workshop.make_run("b", "res-l", 0, imputer="d1", slack=0.2),
        workshop.make_run("c", "baseline", 0),
    ]
    read = read_runs(runs)
    labels = [method.label for method in group_by_method(read)]
    assert labels == ["baseline", "res-l (imputer d1, slack 0.2)", "res-l (imputer s1, slack 0.1)"]
    assert differing_options(read) == ["out", "method", "imputer", "slack"]


def test_options_that_change_no_result_part_no_method(workshop: Workshop) -> None:
    different = {"cache_gb": 0, "cache_dir": Path("c"), "guard": False, "workers": 2, "tensorboard": True}
    assert {"out", "resume", *different} == set(INCIDENTAL)
    runs = [workshop.make_run("a", "res-g", 0), workshop.make_run("b", "res-g", 1, **different)]
    (method,) = group_by_method(read_runs(runs))
    assert method.label == "res-g"
    assert len(method.runs) == 2


def test_the_same_run_twice_is_no_second_seed(workshop: Workshop) -> None:
    runs = [workshop.make_run(name, "res-g", 0) for name in ("a", "b")]
    with pytest.raises(DataError, match="same options and the same seed 0"):
        group_by_method(read_runs(runs))


def test_per_image_values_average_over_seeds(six_methods: list[Path]) -> None:
    baseline = group_by_method(read_runs(six_methods))[0]
    correct = baseline.per_image(lambda result: float(result.correct))
    assert correct.mean() == pytest.approx(baseline.spread("accuracy").mean)
    assert baseline.spread("accuracy", "absent_split").seeds == 0
