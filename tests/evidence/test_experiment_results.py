"""What is read of an experiment."""

from lookright.evidence.results import typical_cost


def test_a_cost_is_the_median_and_leaves_evaluation_out() -> None:
    rows = [{"seconds": str(total), "evaluate_seconds": "2"} for total in (10, 12, 90)]
    assert typical_cost(rows) == 10
    assert typical_cost([{"seconds": "10"}, *rows[:1]]) == 8
    assert typical_cost([{}]) is None


def test_runs_on_a_busy_machine_do_not_count() -> None:
    alone = {"seconds": "10", "evaluate_seconds": "2", "cores": "2", "load": "2.3"}
    assert typical_cost([alone, alone | {"seconds": "90", "load": "3.1"}]) == 8
    assert typical_cost([alone | {"load": "2.6"}]) is None
    assert typical_cost([alone | {"load": "", "cores": ""}]) == 8
