"""Which plots a grid gets, and that what they show is what was measured."""

from pathlib import Path
from typing import Any

import pytest
from made_up import made_up

from lookright.evidence.axis_plots import budget_curves, corruption_maps, series_of
from lookright.evidence.plan import PlannedRun
from lookright.evidence.plots import MARKERS, look_of, pareto, unsurpassed
from lookright.evidence.report import draw, write_report
from lookright.evidence.results import Results, read_results

METHODS = ["baseline", "res-g", {"label": "res-g without slack", "method": "res-g", "slack": 0}]
BASE: dict[str, Any] = {"baseline": "baseline", "reference": "res-g", "report": ["accuracy", "iou"]}


def figures(run: PlannedRun) -> dict[str, float]:
    better = {"baseline": 0, "res-g": 0.2, "res-g without slack": 0.1}[run.cell["method"]]
    rough = 0.05 if run.options.get("corrupt") else 0.0
    n = 2 * (run.options.get("annotated_per_class") or 200)
    return {"accuracy": 0.8 + 0.01 * run.seed, "iou": 0.3 + better - rough, "annotated_images": n}


def results(folder: Path, axes: dict[str, Any], **more: Any) -> Results:
    grid = BASE | {"axes": {**axes, "method": METHODS, "seed": [0, 1, 2]}} | more
    return read_results(made_up(folder, grid, figures))


def test_unsurpassed_means_are_found() -> None:
    points = {
        "worse": (0.1, 0.1),
        "fast": (0.2, 0.9),
        "right": (0.9, 0.2),
        "twin": (0.9, 0.2),
        "both": (0.5, 0.5),
    }
    assert unsurpassed(points) == ["fast", "both", "right", "twin"]
    assert unsurpassed({"alone": (0.0, 0.0)}) == ["alone"]
    assert unsurpassed({}) == []


def test_pareto_has_a_panel_per_group(tmp_path: Path) -> None:
    plot = pareto(results(tmp_path, {"epochs": [1, 2]}))
    assert plot is not None
    titles = [axes.get_title() for axes in plot.figure.axes]
    assert titles == ["epochs 1", "epochs 2"]
    assert plot.figure.axes[0].get_xlabel() == "IoU"
    assert plot.figure.axes[0].get_ylabel() == "Accuracy"
    assert "epochs 1: res-g" in plot.alt
    drawn = [list(map(float, line.get_xydata()[0])) for line in plot.figure.axes[0].lines]
    assert [0.5, 0.81] in [pytest.approx(point) for point in drawn]


def test_the_legend_names_every_entry_whether_timed_or_not(tmp_path: Path) -> None:
    def untimed(run: PlannedRun) -> dict[str, float | str]:
        return figures(run) | {"seconds": "", "evaluate_seconds": ""}

    grid = BASE | {"axes": {"method": METHODS, "seed": [0, 1]}}
    for of, last in ((figures, ", 8.0 s"), (untimed, "")):
        plot = pareto(read_results(made_up(tmp_path / f"timed{last}", grid, of)))
        assert plot is not None
        (legend,) = plot.figure.legends
        named = [text.get_text() for text in legend.get_texts()]
        assert named == [f"{name}{last}" for name in ("baseline", "res-g", "res-g without slack")]
        assert ("took longer" in plot.caption) is bool(last)


@pytest.mark.parametrize("entries", [3, 30])
def test_a_legend_is_not_cut_off(entries: int, tmp_path: Path) -> None:
    methods = [{"label": f"res-g {i}", "method": "res-g", "slack": i / 100} for i in range(entries)]
    grid = BASE | {"axes": {"method": ["baseline", *methods], "seed": [0]}, "reference": "baseline"}
    plot = pareto(read_results(made_up(tmp_path, grid, lambda run: {"accuracy": 0.5, "iou": 0.5})))
    assert plot is not None
    plot.save(tmp_path / "plot.png")  # which lays it out
    box = plot.figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= plot.figure.bbox.y1


def test_many_groups_get_no_panels(tmp_path: Path) -> None:
    assert pareto(results(tmp_path, {"epochs": [1, 2, 3, 4, 5, 6, 7]})) is None


def test_no_agreement_no_pareto(tmp_path: Path) -> None:
    grid = BASE | {
        "axes": {"method": ["baseline", "res-g"], "seed": [0]},
        "report": ["accuracy"],
        "tests": [],
    }
    folder = made_up(tmp_path / "plain", grid, lambda run: {"accuracy": 0.5})
    assert draw(read_results(folder)) == []
    assert "![" not in write_report(folder).read_text()


def test_entries_are_told_apart() -> None:
    looks = [(look_of(i)["color"], look_of(i)["marker"]) for i in range(40)]
    assert len(set(looks)) == 40
    assert len(set(MARKERS)) == len(MARKERS)


def test_curves_over_the_budget(tmp_path: Path) -> None:
    budget = [
        {"label": "few", "annotated_per_class": 5},
        {"label": "more", "annotated_per_class": 50},
        {"label": "all", "annotated_per_class": None},
    ]
    plot = budget_curves(results(tmp_path, {"budget": budget}))
    assert plot is not None
    accuracy, iou = plot.figure.axes
    assert list(iou.get_xticks()) == [10, 100, 400]
    assert (accuracy.get_ylabel(), iou.get_ylabel()) == ("Accuracy", "IoU")
    curves = [container.lines[0].get_ydata() for container in iou.containers]
    assert [list(curve) for curve in curves] == [pytest.approx([y] * 3) for y in (0.3, 0.5, 0.4)]


def test_other_grids_have_no_budget_and_no_corruption(tmp_path: Path) -> None:
    plain = results(tmp_path, {"epochs": [1, 2]})
    assert budget_curves(plain) is None
    assert corruption_maps(plain) == []


def test_maps_of_rough_annotations(tmp_path: Path) -> None:
    rough = [{"label": "good", "corrupt": None}, {"label": "rough", "corrupt": "box"}]
    exclude = [{"method": "baseline", "rough": "rough"}]
    found = results(tmp_path, {"rough": rough}, exclude=exclude)
    lost, beside = corruption_maps(found)
    assert (lost.name, beside.name) == ("corruption", "beside-reference")
    of_iou = lost.figure.axes[1]
    assert [text.get_text() for text in of_iou.texts] == ["−.050", "−.050"], "baseline has no rough runs"
    assert [text.get_text() for text in lost.figure.axes[0].get_yticklabels()] == [
        "res-g",
        "res-g without slack",
    ]
    assert [text.get_text() for text in of_iou.get_xticklabels()] == ["rough"]
    # good: baseline 0.3 - 0.5; rough: baseline, as it is everywhere, 0.3 - 0.45; without slack 0.1 less
    assert [t.get_text() for t in beside.figure.axes[1].texts] == ["−.200", "−.150", "−.100", "−.100"]
    page = write_report(tmp_path)
    assert "| baseline (good) | 0.810 ± 0.025 | 0.300 ± 0.000 |" in page.read_text()


def test_groups_of_several_axes_get_a_map_each(tmp_path: Path) -> None:
    rough = [{"label": "good", "corrupt": None}, {"label": "rough", "corrupt": "box"}]
    found = results(tmp_path, {"epochs": [1, 2], "rough": rough})
    assert [series.title for series in series_of(found, "rough")] == ["epochs 1", "epochs 2"]
    names = [plot.name for plot in corruption_maps(found)]
    assert names == ["corruption-1", "beside-reference-1", "corruption-2", "beside-reference-2"]
