"""What is started is the page's server, on a folder of its own."""

from pathlib import Path

import pytest

from lookright.bench.served import seconds_to_address, served_figures, write_names
from lookright.bench.settings import QUICK
from lookright.errors import LookrightError


def test_it_starts_and_has_a_figure() -> None:
    (figure,) = served_figures(QUICK)
    assert figure.of == "100 photos"
    assert figure.spread
    assert 0 < figure.spread.median < 60


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    data = write_names(tmp_path / "data", 3)
    (data / "masks").mkdir()
    with pytest.raises(LookrightError, match=r"did not start: lookright: .* holds masks/"):
        seconds_to_address(data)
