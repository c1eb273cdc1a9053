"""lookright evaluate --faithfulness."""

import json
from pathlib import Path

import pytest
from commands_typed import Type, is_one_line

from lookright.metrics import FAITHFULNESS


def test_it_is_measured_where_it_is_asked_for(run: Path, typed: Type, tmp_path: Path) -> None:
    options = ("--faithfulness", "--faithfulness-images", 4, "--faithfulness-steps", 2)
    told = typed("evaluate", run, "--out", tmp_path, "--device", "cpu", *options)
    assert told.code == 0
    lines = {line.split()[0]: line.split()[1:] for line in told.out.splitlines()}
    figures = json.loads((tmp_path / "metrics.json").read_text())
    for name in FAITHFULNESS:
        assert lines[name] == [f"{figures[name]['value']:.3f}", "(4", "images)"]
    assert (tmp_path / "faithfulness.csv").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--faithfulness", "--faithfulness-steps", 0), "steps: got 0, need 1 or more"),
        (("--faithfulness", "--faithfulness-images", 0), "images: got 0; give 1 or more"),
        (("--faithfulness-images", 4), "add --faithfulness"),
    ],
)
def test_what_is_refused(
    options: tuple[object, ...], told: str, run: Path, typed: Type, tmp_path: Path
) -> None:
    done = typed("evaluate", run, "--out", tmp_path / "there", "--device", "cpu", *options)
    assert done.code == 2
    assert is_one_line(done.err)
    assert told in done.err
    assert not (tmp_path / "there").exists()
