from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Workshop

from lookright.report.compare import MethodRuns, Spread, group_by_method
from lookright.report.headline import Change, change, headline, keeps_shortcut
from lookright.report.runs import read_runs

CLEAR = np.full(200, 0.1) + np.tile([-0.01, 0.01], 100)  # every image better by 0.1
NOISY = np.tile([-0.9, 1.1], 100)  # the same mean: standard error 1 / sqrt(200) = 0.071, 0.1 is within two


@pytest.mark.parametrize(
    ("ours", "theirs", "difference", "expected"),
    [
        (Spread(0.6, 0.02, 3, 200), Spread(0.5, 0.02, 3, 200), CLEAR, Change.UP),
        (Spread(0.5, 0.02, 3, 200), Spread(0.6, 0.02, 3, 200), -CLEAR, Change.DOWN),
        (Spread(0.6, 0.06, 3, 200), Spread(0.5, 0.05, 3, 200), CLEAR, Change.NONE),
        (Spread(0.6, 0.0, 2, 200), Spread(0.5, 0.0, 2, 200), NOISY, Change.NONE),
        (Spread(0.6, 0.0, 1, 200), Spread(0.5, 0.0, 1, 200), CLEAR, Change.UP),
        (Spread(0.5, 0.0, 1, 200), Spread(0.5, 0.0, 1, 200), CLEAR * 0, Change.NONE),
        (Spread.of([]), Spread(0.5, 0.0, 1, 200), CLEAR, Change.UNKNOWN),
        (Spread(0.6, 0.0, 1, 1), Spread(0.5, 0.0, 1, 1), CLEAR[:1], Change.NONE),
    ],
)
def test_a_difference_is_claimed_only_outside_the_spread(
    ours: Spread, theirs: Spread, difference: np.ndarray, expected: Change
) -> None:
    assert change(ours, theirs, difference) is expected


def test_images_without_a_figure_do_not_count() -> None:
    ours, theirs = Spread(0.6, 0.0, 1, 200), Spread(0.5, 0.0, 1, 200)
    assert change(ours, theirs, np.append(CLEAR, np.nan)) is Change.UP


def methods_of(runs: list[Path]) -> dict[str, MethodRuns]:
    return {method.label: method for method in group_by_method(read_runs(runs))}


def test_the_headline_says_what_changed(six_methods: list[Path]) -> None:
    verdicts = {verdict.label: verdict for verdict in headline(list(methods_of(six_methods).values()))}
    assert verdicts["baseline"].performance is None
    evidence = verdicts["evidence"]
    assert (evidence.reasonability, evidence.performance) == (Change.UP, Change.UP)
    assert evidence.sentence.startswith("Looks more at the annotated region: IoU ")
    assert "accuracy is higher" in evidence.sentence
    assert "2 seeds each" in evidence.sentence
    gradia = verdicts["gradia"]
    assert (gradia.reasonability, gradia.performance) == (Change.UP, Change.NONE)
    assert "no clear difference in accuracy" in gradia.sentence


def test_a_method_that_keeps_the_shortcut_is_labelled(six_methods: list[Path]) -> None:
    methods = methods_of(six_methods)
    baseline = methods["baseline"]
    assert keeps_shortcut(methods["gradia"], baseline)  # 97 to 56 per cent, baseline 98 to 55
    assert not keeps_shortcut(methods["res-g"], baseline)  # 90 to 80
    verdicts = {verdict.label: verdict for verdict in headline(list(methods.values()))}
    assert verdicts["gradia"].keeps_shortcut
    assert not verdicts["evidence"].keeps_shortcut
    assert "with the shortcut kept and taken away" in verdicts["gradia"].sentence


def test_without_baseline_nothing_is_judged(workshop: Workshop) -> None:
    methods = methods_of([workshop.make_run("a", "res-g", 0), workshop.make_run("b", "gradia", 0)])
    for verdict in headline(list(methods.values())):
        assert verdict.performance is None
        assert "one seed" in verdict.sentence
        assert "against" not in verdict.sentence


def test_without_annotations_reasonability_is_not_measured(workshop: Workshop) -> None:
    runs = [workshop.make_run(method, method, 0, annotated=False) for method in ("baseline", "evidence")]
    verdict = headline(list(methods_of(runs).values()))[1]
    assert verdict.reasonability is Change.UNKNOWN
    assert "not measured (no annotated image" in verdict.sentence
    assert verdict.performance is Change.UP
