"""From a grid to runs: what tells them apart, and how hyperparameters are chosen."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookright.errors import ConfigError
from lookright.evidence.grid import Grid, parse_grid, read_grid
from lookright.evidence.plan import (
    candidates,
    check_plan,
    choice,
    choose_runs,
    expected_runs,
    final_runs,
)
from lookright.evidence.table import Table
from lookright.losses import METHODS

ROOT = Path(__file__).parents[2]


def grid_of(**changes: Any) -> Grid:
    content = {
        "base": {"data": "photos", "epochs": 2},
        "axes": {"method": ["baseline", "res-g"], "seed": [0, 1]},
        "choose": {"options": {"lr": [0.1, 0.2]}, "by": ["accuracy", "iou"], "seeds": [7, 8]},
    }
    return parse_grid(content | changes)


def judged(grid: Grid, tmp_path: Path, values: dict[tuple[str, float], tuple[float, float]]) -> Table:
    """A table in which candidates have these figures, the same for each seed."""
    table = Table(tmp_path / "results.csv")
    for run in choose_runs(grid):
        found = values.get((run.cell["method"], run.chosen["lr"]))
        if found is not None:
            accuracy, iou = map(str, found)
            row = {"fingerprint": run.fingerprint, "status": "finished"}
            table.add(row | {"val_accuracy": accuracy, "val_iou": iou, "accuracy": "1", "iou": "1"})
    return table


def test_the_candidate_with_the_best_validation_mean_is_taken(tmp_path: Path) -> None:
    grid = grid_of()
    table = judged(
        grid,
        tmp_path,
        {
            ("baseline", 0.1): (0.5, 0.5),
            ("baseline", 0.2): (0.5, 0.5),  # as good: the first is taken
            ("res-g", 0.1): (0.9, 0.1),
            ("res-g", 0.2): (0.6, 0.5),
        },
    )
    chosen = {(run.cell["method"], run.seed): run.options["lr"] for run in final_runs(grid, table)}
    assert chosen == {("baseline", 0): 0.1, ("baseline", 1): 0.1, ("res-g", 0): 0.2, ("res-g", 1): 0.2}


def test_nothing_is_chosen_before_all_candidates_were_tried(tmp_path: Path) -> None:
    grid = grid_of()
    table = judged(grid, tmp_path, {("res-g", 0.1): (0.9, 0.1)})
    assert final_runs(grid, table) == []
    cell = grid.cells()[1]
    assert candidates(grid, cell, table) == [({"lr": 0.1}, pytest.approx(0.5)), ({"lr": 0.2}, None)]
    assert len(expected_runs(grid, table)) == 4


def test_a_candidate_that_failed_is_not_taken(tmp_path: Path) -> None:
    grid = grid_of()
    table = judged(grid, tmp_path, {("res-g", 0.1): (0.1, 0.1)})
    for run in choose_runs(grid):
        if run.fingerprint not in table.rows:
            table.add({"fingerprint": run.fingerprint, "status": "failed"})
    baseline, res = grid.cells()
    assert choice(grid, baseline, table) is None
    assert choice(grid, res, table) == {"lr": 0.1}


def test_runs_that_choose_see_no_test_image() -> None:
    grid = grid_of(faithfulness=True)
    assert {run.splits for run in choose_runs(grid)} == {("val",)}
    assert {run.faithfulness for run in choose_runs(grid)} == {None}
    assert parse_grid({"axes": {"method": ["res-g"]}}).splits == ("test", "val")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"about": "in other words", "report": ["iou"]}, True),
        ({"base": {"data": "photos", "epochs": 2, "workers": 3, "cache_gb": 1.0, "guard": False}}, True),
        ({"base": {"data": "photos", "epochs": 2, "slack": 0.1}}, True),  # as it is by default
        ({"base": {"data": "photos", "epochs": 3}}, False),
        ({"base": {"data": "others", "epochs": 2}}, False),
        ({"prepare": {"photos": {"set": "digits"}}}, False),
        ({"precision_outside": 0}, False),
    ],
)
def test_a_run_is_known_by_what_changes_its_results(changes: dict[str, Any], same: bool) -> None:
    ours, theirs = choose_runs(grid_of())[0], choose_runs(grid_of(**changes))[0]
    assert (ours.fingerprint == theirs.fingerprint) is same


def test_runs_of_a_grid_have_names_and_fingerprints_of_their_own() -> None:
    runs = choose_runs(grid_of())
    assert len({run.name for run in runs}) == len({run.fingerprint for run in runs}) == len(runs) == 8
    assert runs[0].name.startswith("choose-baseline-7-")


def test_paths_hold_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_PHOTOS", "/somewhere")
    grid = grid_of(base={"data": "$SOME_PHOTOS/cats"})
    run = choose_runs(grid)[0]
    assert run.config(tmp_path).data == Path("/somewhere/cats")
    assert run.config(tmp_path).out == tmp_path / "runs" / run.name
    monkeypatch.delenv("SOME_PHOTOS")
    with pytest.raises(ConfigError, match=r"data: .*the variable is not set; export it"):
        run.config(tmp_path)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"data": "nowhere"}, "method baseline: data: nowhere does not exist"),
        ({"data": ".", "epochs": 0}, "epochs: got 0, need 1 or more"),
        ({"data": ".", "epochs": "many"}, "not a value of that option"),
        ({"data": ".", "corrupt": "dilte(0.1)"}, "dilte"),
        ({"data": ".", "method": "res-x"}, "method baseline|res-x"),
        ({}, "data: missing"),
    ],
)
def test_mistakes_are_told_before_the_first_run(base: dict[str, Any], message: str, tmp_path: Path) -> None:
    axes = {"method": ["baseline"]} if "method" not in base else {"lr": [0.1]}
    grid = parse_grid({"base": base, "axes": axes, "compare": next(iter(axes))})
    with pytest.raises(ConfigError, match=message):
        check_plan(grid, tmp_path)


def test_a_set_that_is_made_first_need_not_be_there(tmp_path: Path) -> None:
    grid = grid_of(prepare={"photos": {"set": "digits"}})
    check_plan(grid, tmp_path)
    assert choose_runs(grid)[0].config(tmp_path).data == tmp_path / "data" / "photos"
    with pytest.raises(ConfigError, match="photos does not exist"):
        check_plan(replace(grid, prepare={}), tmp_path)


def test_rows_of_what_auto_stood_for_before_are_not_taken_for_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"method": ["auto", "2*evidence"], "seed": [0]}

    def fingerprints(meaning: str) -> list[str]:
        monkeypatch.setitem(METHODS, "auto", replace(METHODS["auto"], sum=meaning))
        return [run.fingerprint for run in expected_runs(grid_of(axes=axes), Table(Path("none.csv")))]

    before, after = fingerprints("gradia"), fingerprints("evidence")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True]


def test_the_page_on_grids_tells_how_many_runs_each_has(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")
    told = {name: int(runs) for name, runs in re.findall(r"^\| `(\w+)\.yaml` \|.*\| (\d+) \|$", page, re.M)}
    counted = {}
    for file in (ROOT / "grids").glob("*.yaml"):
        grid = read_grid(file)
        counted[file.stem] = len(choose_runs(grid)) + len(expected_runs(grid, Table(tmp_path / "none.csv")))
    assert told == counted
