"""A grid runs to its end, however often it is stopped."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from lookright.errors import ConfigError
from lookright.evidence import cell as cells
from lookright.evidence import run as running
from lookright.evidence.grid import read_grid
from lookright.evidence.outlook import Outlook, describe_plan
from lookright.evidence.plan import choose_runs, final_runs
from lookright.evidence.run import plan_jobs, run_grid
from lookright.evidence.table import Table

Write = Callable[..., Path]
CHOOSE = {"options": {"lr": [0.001, 0.01]}, "by": "accuracy", "seeds": [9]}
INCIDENTAL = ("date", "seconds", "train_seconds", "evaluate_seconds", "waited")


def figures(out: Path) -> list[dict[str, str]]:
    rows = Table(out / "results.csv").rows.values()
    return [{k: v for k, v in row.items() if k not in INCIDENTAL} for row in rows]


def test_a_grid_stopped_in_the_middle_of_a_run_goes_on_and_gives_the_same(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(choose=CHOOSE)
    run_grid(file, tmp_path / "whole")

    train, left = cells.train, [3]

    def killed(*args: object, **kwargs: object) -> object:
        trained = train(*args, **kwargs)  # type: ignore[arg-type]
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return trained

    monkeypatch.setattr(cells, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_grid(file, tmp_path / "stopped")
    assert len(Table(tmp_path / "stopped" / "results.csv").rows) == 2
    assert any((tmp_path / "stopped" / "runs").iterdir())  # half a run
    with caplog.at_level("INFO", logger="lookright"):
        run_grid(file, tmp_path / "stopped")
    assert "[1/2]" in caplog.text
    assert figures(tmp_path / "stopped") == figures(tmp_path / "whole")
    assert not any((tmp_path / "stopped" / "runs").iterdir())

    monkeypatch.setattr(cells, "train", None)  # nothing is left to do
    run_grid(file, tmp_path / "stopped")


def test_hyperparameters_are_chosen_and_written_down(write: Write, tmp_path: Path) -> None:
    file, out = write(choose=CHOOSE), tmp_path / "out"
    run_grid(file, out)
    grid, table = read_grid(out / "grid.yaml"), Table(out / "results.csv")
    assert len(table.rows) == 4 + 2
    with (out / "chosen.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(row["method"], row["candidate"]) for row in rows] == [
        (method, f'{{"lr": {lr}}}') for method in ("baseline", "res-g") for lr in (0.001, 0.01)
    ]
    for run in choose_runs(grid):
        of = table.rows[run.fingerprint]
        (told,) = [r for r in rows if (r["method"], r["candidate"]) == (run.cell["method"], of["chosen"])]
        assert float(told["validation"]) == pytest.approx(float(of["val_accuracy"]))
        assert of["accuracy"] == ""  # no test image was looked at
    taken = {row["method"]: row["candidate"] for row in rows if row["chosen"] == "true"}
    assert {
        run.cell["method"]: table.rows[run.fingerprint]["chosen"] for run in final_runs(grid, table)
    } == taken


def test_what_validation_images_do_not_give_chooses_nothing(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told after the first run, and again where the command is given again."""
    file, out = write(choose=CHOOSE), tmp_path / "out"
    work = running.work
    monkeypatch.setattr(running, "work", lambda *given: [row | {"val_accuracy": ""} for row in work(*given)])
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"choose: by: .*: its validation images give no 'accuracy'"):
            run_grid(file, out)
        assert len(Table(out / "results.csv").rows) == 1


def test_a_limit_ends_it_early(write: Write, tmp_path: Path) -> None:
    file, out = write(choose=CHOOSE), tmp_path / "out"
    run_grid(file, out, limit=1)
    assert len(Table(out / "results.csv").rows) == 1
    lines = "\n".join(describe_plan(read_grid(file), out, Table(out / "results.csv"), 2))
    assert "first 4 runs that choose, 1 of them done" in lines
    assert "2 runs, 0 of them done" in lines
    assert "(from 1 runs)" in lines


def test_processes_share_the_work(write: Write, tmp_path: Path) -> None:
    file = write()
    run_grid(file, tmp_path / "two", processes=2)
    run_grid(file, tmp_path / "one")
    two, one = figures(tmp_path / "two"), figures(tmp_path / "one")
    assert sorted(row["method"] for row in two) == ["baseline", "res-g"]
    by_method = {row["method"]: row for row in two}
    for row in one:
        assert float(by_method[row["method"]]["iou"]) == pytest.approx(float(row["iou"]), rel=1e-3)


def test_a_run_that_failed_is_tried_again(write: Write, tmp_path: Path) -> None:
    file = write(axes={"method": ["baseline", "no-such"], "seed": [0]})
    with pytest.raises(ConfigError, match="method no-such: "):  # found before anything runs
        run_grid(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()

    file = write(
        base={
            "data": "digits",
            "backbone": "small_cnn",
            "weights": "none",
            "image_size": 32,
            "epochs": 1,
            "accelerator": "cpu",
            "best": "both",
            "train_per_class": 1,
            "annotated_per_class": 0,
        },
        axes={"method": ["baseline", "res-g"], "seed": [0]},
    )
    run_grid(file, tmp_path / "out")
    table = Table(tmp_path / "out" / "results.csv")
    assert {row["method"]: row["status"] for row in table.rows.values()} == {
        "baseline": "finished",
        "res-g": "failed",
    }
    failed = next(row for row in table.rows.values() if row["status"] == "failed")
    assert "res-g needs annotations" in failed["error"]
    assert not table.finished(failed["fingerprint"])


def test_two_commands_on_one_folder(write: Write, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(ConfigError, match="another lookright bench works on"),
    ):
        run_grid(write(), tmp_path)


@pytest.mark.parametrize("options", [{"processes": 0}, {"limit": 0}])
def test_numbers_below_one(options: dict[str, int], write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"processes, limit: got .*, need 1 or more"):
        run_grid(write(), tmp_path / "out", **options)


def test_jobs_are_features_first_then_heads_together(write: Write, digits: Path, tmp_path: Path) -> None:
    base = {"data": str(digits), "weights": "bundled"}
    axes = {"train": ["head", "last-stage"], "method": ["baseline", "res-g"], "seed": list(range(20))}
    grid = read_grid(write(base=base, axes=axes, prepare={}))
    runs = final_runs(grid, Table(tmp_path / "none.csv"))
    jobs = plan_jobs(runs, tmp_path, processes=1)
    fills = [job for job in jobs if job.fills]
    assert jobs[: len(fills)] == fills
    assert len({job.needs for job in fills}) == len(fills) == 2
    work = [job for job in jobs if not job.fills]
    heads = [len(job.runs) for job in work if job.runs[0].cell["train"] == "head"]
    assert heads == [32, 8]
    assert [len(job.runs) for job in work].count(1) == 40
    assert sorted(run.name for job in work for run in job.runs) == sorted(run.name for run in runs)
    halves = [job for job in plan_jobs(runs, tmp_path, processes=2) if len(job.runs) > 1 and not job.fills]
    assert [len(job.runs) for job in halves] == [20, 20]


def test_the_rest_takes_as_long_as_runs_of_its_kind(write: Write, tmp_path: Path) -> None:
    grid = read_grid(write(axes={"method": ["baseline", "res-g"], "seed": [0, 1]}))
    table = Table(tmp_path / "results.csv")
    plain, slow, *left = final_runs(grid, table)
    outlook = Outlook(grid, table)
    assert outlook.seconds(left) is None
    outlook.learn(plain, 10)
    assert outlook.seconds(left) == 20  # the other kind is not known: as all that ended
    outlook.learn(slow, 30)
    assert outlook.seconds(left, processes=2) == 20
    assert outlook.seconds([]) == 0
