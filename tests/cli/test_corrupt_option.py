"""The option --corrupt on the command line."""

from pathlib import Path

import pytest
from commands_typed import SMALL, Type, is_one_line


@pytest.mark.parametrize(
    ("spec", "told"),
    [("smudge", "choose one of dilate, erode, jitter, polygon, box"), ("drop(2)", "at most 1")],
)
def test_what_is_refused(spec: str, told: str, digits: Path, tmp_path: Path, typed: Type) -> None:
    done = typed("train", digits, "--out", tmp_path / "run", *SMALL, "--corrupt", spec)
    assert done.code == 2
    assert is_one_line(done.err)
    assert told in done.err
    assert not (tmp_path / "run").exists()
