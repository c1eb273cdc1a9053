import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_runs import Workshop

from lookright.report.compare import group_by_method
from lookright.report.curves import draw, over_seeds
from lookright.report.runs import read_runs


def test_mean_and_range_over_seeds_of_unequal_length(workshop: Workshop) -> None:
    runs = [workshop.make_run(f"a{seed}", "res-g", seed) for seed in (0, 1)]
    (runs[0] / "log.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n2,0.25\n")
    (runs[1] / "log.csv").write_text("epoch,loss\n0,2.0\n1,\n")
    (method,) = group_by_method(read_runs(runs))
    np.testing.assert_allclose(
        over_seeds(method, "loss"), [[1.5, 0.5, 0.25], [1.0, 0.5, 0.25], [2.0, 0.5, 0.25]]
    )
    assert over_seeds(method, "absent").shape == (3, 0)


def test_curves_are_svg_in_the_colours_of_the_page(six_methods: list[Path]) -> None:
    plots = draw(group_by_method(read_runs(six_methods)))
    assert [plot.title for plot in plots] == [
        "Validation accuracy",
        "Validation IoU of explanation and annotation",
        "Training loss",
    ]
    ids: list[str] = []
    for plot in plots:
        ElementTree.fromstring(plot.svg.replace("xlink:", ""))  # well-formed
        assert all(f"var(--method-{index})" in plot.svg for index in range(6))
        assert not re.search(r"#0[1a]0[2b]", plot.svg)
        assert "evidence ends at" in plot.description
        ids += re.findall(r'\bid="([^"]+)"', plot.svg)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("accuracy", "lines", "marked"),
    [(",0.5,,0.75,,1", 2, False), ("0.5,0.75,,,,", 1, False), (",,,0.5,,", 0, True)],
)
def test_a_line_leads_over_epochs_without_a_validation(
    workshop: Workshop, accuracy: str, lines: int, marked: bool
) -> None:
    run = workshop.make_run("a", "res-g", 0)
    rows = [f"{epoch},1.0,{value}" for epoch, value in enumerate(accuracy.split(","))]
    (run / "log.csv").write_text("\n".join(["epoch,loss,val_accuracy", *rows]) + "\n")
    plot, _ = draw(group_by_method(read_runs([run])))
    (line,) = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--method-0\); stroke-width', plot.svg)
    assert line.count("L") == lines
    assert marked == bool(re.search(r"<use [^>]*fill: var\(--method-0\)", plot.svg))


def test_what_was_not_logged_is_not_drawn(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    (run / "log.csv").write_text("epoch,loss,val_iou\n0,1.0,\n")
    assert [plot.title for plot in draw(group_by_method(read_runs([run])))] == ["Training loss"]
    (run / "log.csv").unlink()
    assert draw(group_by_method(read_runs([run]))) == []
