"""What is read of an experiment."""

from lookright.evidence.results import typical_cost


def test_a_cost_is_the_median_and_leaves_evaluation_out() -> None:
    rows = [{"seconds": str(total), "evaluate_seconds": "2"} for total in (10, 12, 90)]
    assert typical_cost(rows) == 10
    assert typical_cost([{"seconds": "10"}, *rows[:1]]) == 8
    assert typical_cost([{}]) is None


def test_runs_that_waited_for_a_core_do_not_count() -> None:
    alone = {"seconds": "10", "evaluate_seconds": "2", "waited": "0.4"}
    assert typical_cost([alone, alone | {"seconds": "90", "waited": "41"}]) == 8
    assert typical_cost([alone | {"waited": "2"}]) is None
    assert typical_cost([alone | {"waited": ""}]) == 8
