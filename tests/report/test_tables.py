import json
import statistics
from pathlib import Path

import pytest
from synthetic_runs import Workshop, edit_json

from lookright.metrics import Cell
from lookright.report.compare import group_by_method
from lookright.report.runs import read_runs
from lookright.report.tables import common_options, differences, figure_table, matrix


def test_the_table_holds_what_metrics_json_holds(six_methods: list[Path]) -> None:
    table = figure_table(group_by_method(read_runs(six_methods)))
    titles = [column.title for column in table.columns]
    # precision has no column: nothing negative was marked; nor has the worst group: there are none
    assert titles == [
        *("Accuracy", "Balanced accuracy", "AUROC", "Accuracy on test_decoy"),
        *("IoU", "Recall", "EPG", "Pointing game", "Seconds"),
    ]
    stored = [
        json.loads((run / "evaluation" / "metrics.json").read_text())["iou"]["value"]
        for run in six_methods[:2]
    ]
    method, entries = table.rows[0]
    entry = entries[titles.index("IoU")]
    assert method.label == "baseline"
    assert entry.mean == f"{statistics.mean(stored):.3f}"
    assert entry.sd == f"± {statistics.stdev(stored):.3f}"
    assert table.counts[0] == "n = 40"


def test_the_best_of_a_column_is_marked(six_methods: list[Path]) -> None:
    table = figure_table(group_by_method(read_runs(six_methods)))
    best = [method.label for method, entries in table.rows if entries[0].best]
    assert best == ["evidence"]
    assert not any(entries[-1].best for _, entries in table.rows)  # all took the same time


def test_the_shorter_time_is_the_better_one(workshop: Workshop) -> None:
    runs = [workshop.make_run(method, method, 0) for method in ("baseline", "res-g")]
    edit_json(runs[1] / "run.json", seconds=10)
    table = figure_table(group_by_method(read_runs(runs)))
    assert [entries[-1].best for _, entries in table.rows] == [False, True]


def test_counts_that_differ_stand_in_their_rows(workshop: Workshop) -> None:
    runs = [workshop.make_run(method, method, 0) for method in ("baseline", "res-g")]
    edit_json(runs[1] / "evaluation" / "metrics.json", epg={"value": 0.5, "n": 7})
    table = figure_table(group_by_method(read_runs(runs)))
    index = [column.title for column in table.columns].index("EPG")
    assert table.counts[index] == ""
    assert [entries[index].n for _, entries in table.rows] == ["n = 40", "n = 7"]


def test_matrix_counts_the_first_seed_and_spreads_over_all(six_methods: list[Path]) -> None:
    table = matrix(group_by_method(read_runs(six_methods))[0])
    shares = []
    for run in six_methods[:2]:
        stored = json.loads((run / "evaluation" / "metrics.json").read_text())["reasonability_matrix"]
        shares.append({cell: stored[cell.value] for cell in Cell})
    for cell in Cell:
        assert table.cells[cell].count == shares[0][cell]["n"]
        assert table.cells[cell].share == pytest.approx(shares[0][cell]["value"])
        assert table.cells[cell].spread.mean == pytest.approx(
            statistics.mean(share[cell]["value"] for share in shares)
        )
    assert table.images == 40


def test_options_are_parted_into_differing_and_common(six_methods: list[Path]) -> None:
    runs = read_runs(six_methods[:3])
    names, rows = differences(runs)
    assert names == ["method", "seed"]
    assert [values for _, values in rows] == [["baseline", "0"], ["baseline", "1"], ["gradia", "0"]]
    common = dict(common_options(runs))
    assert common["backbone"] == "small_cnn"
    assert common["threshold"] == "–"
    assert not {"method", "seed", "out"} & common.keys()
