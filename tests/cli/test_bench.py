"""`lookright bench` as typed."""

from pathlib import Path

import pytest
from commands_typed import Type, is_one_line

GRID = """
prepare:
  digits: {set: digits, per_class_train: 1, per_class_val: 1, per_class_test: 1}
base:
  {data: digits, backbone: small_cnn, weights: none, train: all, image_size: 32, epochs: 1, accelerator: cpu}
axes: {method: [baseline], seed: [0, 1]}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(GRID)
    return file


def test_a_dry_run_says_the_plan_and_writes_nothing(typed: Type, grid: Path, tmp_path: Path) -> None:
    outcome = typed("bench", grid, "--out", tmp_path / "out", "--processes", 1, "--dry-run")
    assert outcome.code == 0
    assert "1 cells, seeds 0, 1" in outcome.out
    assert "2 runs, 0 of them done" in outcome.out
    assert not (tmp_path / "out").exists()


def test_a_grid_runs_and_says_where_its_results_are(typed: Type, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = typed("bench", grid, "--out", out, "--processes", 1)
    assert outcome.code == 0, outcome.err
    assert f"{out}: results.csv. Next: lookright bench report {out}" in outcome.out
    assert len((out / "results.csv").read_text().splitlines()) == 3
    assert len(list((out / "images").glob("*.csv"))) == 2

    page = tmp_path / "docs" / "tiny.md"
    outcome = typed("bench", "report", out, "--page", page)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"written to {page}\n"
    assert "| baseline | " in page.read_text()
    assert (out / "report" / "report.md").exists()


def test_a_report_does_not_replace_what_somebody_wrote(typed: Type, tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    page.write_text("mine")
    outcome = typed("bench", "report", tmp_path, "--page", page)
    assert outcome.code == 2
    assert f"{page} exists, and lookright bench report has not written it" in outcome.err
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["report"], "bench report: give one folder"),
        (["report", "a", "b"], "bench report: give one folder"),
        (["report", "nowhere"], "nowhere/results.csv: does not exist; give a folder that lookright bench"),
        (["a.yaml", "--page", "b.md"], "--page: a page is written by lookright bench report FOLDER"),
        (["a.yaml", "b.yaml"], "bench: got 2 grids, give one"),
        (["a.yaml", "--proceses", "2"], "unknown option --proceses; did you mean --processes?"),
        (["a.yaml", "--cluster", "kubernetes"], "'kubernetes' (choose from 'slurm', 'local')"),
        (["a.yaml", "--cluster-options", "c.yaml"], "--cluster-options: say where jobs go too, --cluster"),
        (["a.yaml", "--cluster", "slurm", "--cluster-options", "c.yaml"], "c.yaml: cannot be read"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, typed: Type) -> None:
    outcome = typed("bench", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert is_one_line(outcome.err)
