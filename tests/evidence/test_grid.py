"""What a grid may say, and what is said of a grid that does not work."""

from pathlib import Path
from typing import Any

import pytest

from lookright.engine.faithfulness import FaithfulnessOptions
from lookright.errors import ConfigError
from lookright.evidence.grid import parse_grid, read_grid

GRIDS = sorted((Path(__file__).parents[2] / "grids").glob("*.yaml"))


def labels(content: dict[str, Any]) -> list[str]:
    return [" ".join(entry.label for entry in cell.values()) for cell in parse_grid(content).cells()]


def test_cells_are_all_combinations_but_the_excluded() -> None:
    axes = {"method": ["baseline", "res-g"], "corrupt": [None, "box"], "seed": [3, 4]}
    exclude = [{"method": "baseline", "corrupt": ["box"]}]
    assert labels({"axes": axes}) == ["baseline none", "baseline box", "res-g none", "res-g box"]
    assert labels({"axes": axes, "exclude": exclude}) == ["baseline none", "res-g none", "res-g box"]
    assert parse_grid({"axes": axes}).seeds == (3, 4)


def test_an_entry_may_set_several_options() -> None:
    entry = {"label": "RES", "method": "res-g", "slack": "1e-1"}
    grid = parse_grid({"axes": {"how": [entry, {"label": "plain", "method": "baseline"}]}, "compare": "how"})
    assert [cell["how"].options for cell in grid.cells()] == [
        {"method": "res-g", "slack": 0.1},
        {"method": "baseline"},
    ]


def test_candidates_are_all_combinations_and_as_many_for_each_method() -> None:
    content = {
        "axes": {"method": ["baseline", "res-g"]},
        "choose": {
            "options": {"lr": [0.1, 0.2], "slack": [0, 1]},
            "own": {"baseline": {"lr": [1, 2, 3, 4]}},
        },
    }
    choose = parse_grid(content).choose
    assert choose is not None
    expected = [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
    assert [(c["lr"], c["slack"]) for c in choose.of("res-g")] == expected
    assert [c["lr"] for c in choose.of("baseline")] == [1, 2, 3, 4]
    assert (choose.by, choose.seeds) == (("balanced_accuracy",), (0,))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (False, None),
        (True, FaithfulnessOptions()),
        ({"steps": 4}, FaithfulnessOptions(steps=4)),
    ],
)
def test_faithfulness_is_left_out_unless_asked_for(given: object, expected: object) -> None:
    assert parse_grid({"axes": {"method": ["res-g"]}, "faithfulness": given}).faithfulness == expected


def test_what_a_loss_tells_may_be_reported_and_neither_tested_nor_chosen_by() -> None:
    content = {"axes": METHOD, "report": ["iou", "fact_imputer_drift"]}
    assert parse_grid(content).report == ("iou", "fact_imputer_drift")
    assert parse_grid(content).tests == ("iou",)
    for more in ({"tests": ["fact_alpha"]}, {"choose": CHOOSE | {"by": "fact_alpha"}}):
        with pytest.raises(ConfigError, match="there is no measure 'fact_alpha'"):
            parse_grid(content | more)
    with pytest.raises(ConfigError, match=r"results\.csv has a column of that name"):
        parse_grid({"axes": METHOD | {"fact_alpha": [{"label": "a"}]}})


def test_nothing_is_chosen_for_what_is_fixed() -> None:
    choose = parse_grid({"axes": METHOD, "choose": CHOOSE | {"fixed": ["baseline"]}}).choose
    assert choose is not None
    assert choose.of("baseline") == ({},)
    assert choose.of("res-g") == ({"lr": 1.0}, {"lr": 2.0})


METHOD = {"method": ["baseline", "res-g"]}
CHOOSE = {"options": {"lr": [1, 2]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the grid: got \\[\\], need names with values"),
        ({"axis": METHOD}, "the grid: there is no entry 'axis'; did you mean axes"),
        ({"axes": METHOD, "base": {"epoch": 3}}, "base: there is no option 'epoch'; did you mean epochs"),
        ({"axes": METHOD, "base": {"out": "x"}}, "base: there is no option 'out'"),
        ({"axes": METHOD | {"lrr": [1]}}, "axes: there is no option 'lrr'; did you mean lr"),
        ({"axes": {"method": []}}, "axes: method: got \\[\\], need a list of values"),
        ({"axes": {"method": [{"method": "res-g", "slack": 0}]}}, "sets several options; give it a label"),
        ({"axes": {"method": ["res-g", "res-g"]}}, "'res-g' is there twice"),
        ({"axes": {"status": [{"label": "a"}]} | METHOD}, "results.csv has a column of that name"),
        ({"axes": METHOD | {"seed": [0, 0]}}, "axes: seed: a seed is there twice"),
        ({"axes": METHOD | {"seed": [0.5]}}, "need a list of whole numbers"),
        ({"axes": {"lr": [1]}}, "compare: there is no axis 'method'; there are lr"),
        ({"axes": METHOD, "baseline": "res"}, "baseline: there is no entry of method 'res'; did you mean"),
        ({"axes": METHOD, "report": ["accurracy"]}, "there is no measure 'accurracy'; did you mean accuracy"),
        ({"axes": METHOD, "exclude": [{"methd": "a"}]}, "exclude: there is no axis 'methd'"),
        ({"axes": METHOD, "exclude": [{"method": "a"}]}, "exclude: there is no entry of method 'a'"),
        ({"axes": METHOD, "exclude": [{}]}, "an empty rule excludes everything"),
        ({"axes": METHOD, "exclude": [{"method": ["baseline", "res-g"]}]}, "nothing is left of the grid"),
        ({"axes": METHOD, "choose": {}}, "choose: options: missing"),
        ({"axes": METHOD, "choose": CHOOSE, "splits": []}, "splits: lacks val"),
        ({"axes": METHOD, "choose": CHOOSE | {"by": "mae"}}, "of mae less is better"),
        (
            {"axes": METHOD, "choose": CHOOSE | {"own": {"baseline": {"lr": [1]}}}},
            "baseline has 1 candidates, the others have 2",
        ),
        (
            {"axes": METHOD, "choose": CHOOSE | {"fixed": ["resg"]}},
            "fixed: there is no compared entry 'resg'",
        ),
        ({"axes": METHOD, "faithfulness": {"step": 3}}, "there is no option 'step'; did you mean steps"),
        ({"axes": METHOD, "faithfulness": {"fill": "red"}}, "faithfulness: fill: got 'red'"),
        ({"axes": METHOD, "precision_outside": 2}, "precision_outside: got 2, need a share"),
        ({"axes": METHOD, "prepare": {"d": {"set": "decoi"}}}, "there is no data set 'decoi'; did you mean"),
        (
            {"axes": METHOD, "prepare": {"d": {"set": "digits", "per_class": 3}}},
            "prepare: d: there is no option 'per_class'",
        ),
    ],
)
def test_mistakes_are_told(content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_grid(content)


@pytest.mark.parametrize("text", ["axes: [", "\x00"])
def test_a_file_that_is_no_yaml(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read"):
        read_grid(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml: cannot be read"):
        read_grid(tmp_path / "b.yaml")


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_grids_of_the_repository_are_right(path: Path) -> None:
    grid = read_grid(path)
    assert grid.name == path.stem
    assert grid.about
    assert grid.baseline is not None
