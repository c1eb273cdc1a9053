"""What is read of an experiment."""

from lookright.evidence.results import typical_cost


def test_a_cost_is_the_median_and_leaves_evaluation_out() -> None:
    rows = [{"seconds": str(total), "evaluate_seconds": "2"} for total in (10, 12, 90)]
    assert typical_cost(rows) == 10
    assert typical_cost([{"seconds": "10"}, *rows[:1]]) == 8
    assert typical_cost([{}]) is None
