"""What is started is the command line."""

import subprocess

import pytest

from lookright.bench.settings import QUICK
from lookright.bench.start_up import STARTS, start_seconds, start_up_figures


def test_each_start_works_and_has_a_figure() -> None:
    figures = list(start_up_figures(QUICK))
    assert [figure.of for figure in figures] == list(STARTS)
    assert all(figure.spread and 0 < figure.spread.median < 60 for figure in figures)


def test_a_start_that_fails_is_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        start_seconds(("-m", "lookright.cli", "nonsense"))
