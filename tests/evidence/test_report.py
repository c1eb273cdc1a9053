"""The report of made-up experiments: figures, tests and words that are known before."""

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_up import ABOUT, images, made_up

from lookright.errors import ConfigError, DataError
from lookright.evidence.compare import Verdict, compare
from lookright.evidence.plan import PlannedRun
from lookright.evidence.report import MARK, write_report
from lookright.evidence.results import read_results

SEEDS = [0, 1, 2, 3, 4, 5, 6, 7]
GRID: dict[str, Any] = {
    "name": "known",
    "about": "Made up.",
    "base": {"data": "/somewhere/secret/photos", "epochs": 3},
    "axes": {"method": ["baseline", "res-g", "gradia"], "seed": SEEDS},
    "baseline": "baseline",
    "reference": "res-g",
    "report": ["accuracy", "iou"],
}
IOU = {"baseline": 0.3, "res-g": 0.5, "gradia": 0.3}


def known(run: PlannedRun) -> dict[str, float]:
    """IoU: res-g is always better by about 0.2, gradia as often worse as better. Accuracy: all equal."""
    method, seed = run.cell["method"], run.seed
    iou = IOU[method] + (0.002 * seed if method == "res-g" else 0)
    if method == "gradia":
        iou += 0.01 * (-1) ** seed
    return {"accuracy": 0.8, "iou": iou, "val_accuracy": 0.1}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    return made_up(tmp_path / "known", GRID, known)


def test_tests_are_what_is_found_by_hand(experiment: Path) -> None:
    found = {(c.entry, c.against, c.measure): c for c in compare(read_results(experiment))}
    assert len(found) == 6, "the reference is tested against the baseline, not the other way round as well"
    clear = found["res-g", "baseline", "iou"]
    assert clear.difference.mean == pytest.approx(0.207)
    assert clear.p == pytest.approx(2 / 256)
    assert clear.corrected == pytest.approx(6 * 2 / 256)
    assert clear.verdict is Verdict.BETTER
    assert found["gradia", "res-g", "iou"].verdict is Verdict.WORSE
    assert found["gradia", "baseline", "iou"].p == 1
    assert found["gradia", "baseline", "iou"].verdict is Verdict.UNCLEAR


def test_page_tells_figures_and_what_they_say(experiment: Path) -> None:
    page = write_report(experiment)
    text = page.read_text()
    assert page == experiment / "report" / "report.md"
    assert text.startswith(f"{MARK}\n\n# known\n\nMade up.\n")
    # 0.007 +- t(7) * sd(0, 0.002 .. 0.014) / sqrt(8) = 2.3646 * 0.004899 / 2.828 = 0.0041
    assert "| res-g | 0.800 ± 0.000 | **0.507 ± 0.004** ▲ | 100 | 8.0 | 8 |" in text
    assert "| baseline | 0.800 ± 0.000 | 0.300 ± 0.000 | 100 | 8.0 | 8 |" in text
    assert (
        "- **IoU, against baseline:** better: res-g (+0.207, p 0.047); not clearly different: gradia." in text
    )
    assert "- **IoU, against res-g:** worse: gradia (-0.207, p 0.047)." in text
    assert "- **Accuracy, against baseline:** not clearly different: res-g, gradia." in text
    assert "nothing was chosen" in text
    assert "24 runs finished" in text
    assert "4 min of computing" in text
    assert "Data: photos." in text
    assert "secret" not in text
    assert str(experiment.parent) not in text


def test_pictures_are_there_and_linked(experiment: Path) -> None:
    page = write_report(experiment)
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    assert linked == ["pareto.png"]
    assert (page.parent / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_tidy_table_has_all_figures(experiment: Path) -> None:
    write_report(experiment)
    with (experiment / "report" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    means = {(r["method"], r["measure"]): r for r in rows if r["kind"] == "mean"}
    assert float(means["res-g", "iou"]["value"]) == pytest.approx(0.507)
    assert float(means["gradia", "train_seconds"]["value"]) == 7.5
    (difference,) = (
        r for r in rows if (r["method"], r["against"], r["measure"]) == ("res-g", "baseline", "iou")
    )
    assert float(difference["p"]) == pytest.approx(2 / 256)
    assert float(difference["p_holm"]) == pytest.approx(12 / 256)


def test_the_same_results_give_the_same_report(experiment: Path) -> None:
    page = write_report(experiment)
    before = [(file.name, file.read_bytes()) for file in sorted(page.parent.iterdir())]
    write_report(experiment)
    assert [(file.name, file.read_bytes()) for file in sorted(page.parent.iterdir())] == before


def test_few_seeds_cannot_make_anything_clear(tmp_path: Path) -> None:
    grid = GRID | {"axes": GRID["axes"] | {"seed": [0, 1, 2, 3, 4]}}
    text = write_report(made_up(tmp_path / "few", grid, known)).read_text()
    assert "5 seeds reach p = 0.062 at best, and 0.375 once corrected for 6 comparisons" in text
    assert "it would take 8 seeds" in text, "6 * 2 / 2^7 is 0.09, 6 * 2 / 2^8 is 0.047"
    assert "- **IoU, against baseline:** better: res-g (+0.204); no hint: gradia." in text
    assert "▲ |" not in text


def test_one_seed(tmp_path: Path) -> None:
    grid = GRID | {"axes": GRID["axes"] | {"seed": [0]}}
    text = write_report(made_up(tmp_path / "one", grid, known)).read_text()
    assert "There is one seed: no interval, and no test." in text
    assert "| res-g | 0.800 | **0.500** | 100 | 8.0 | 1 |" in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("axis", "options"),
    [
        ("annotated_per_class", [{"annotated_per_class": 2}, {"annotated_per_class": 4}]),
        ("corrupt", [{"corrupt": "box"}, {"corrupt": None}]),
    ],
)
def test_plain_training_counts_whatever_the_annotations(
    axis: str, options: list[dict[str, Any]], tmp_path: Path
) -> None:
    entries = [{"label": label} | each for label, each in zip("ab", options, strict=True)]
    grid = GRID | {"axes": {axis: entries} | GRID["axes"], "exclude": [{"method": "baseline", axis: "a"}]}
    found = compare(read_results(made_up(tmp_path / "few", grid, known)))
    of_a = [c for c in found if c.group.labels[axis] == "a" and c.against == "baseline"]
    assert {c.entry for c in of_a} == {"res-g", "gradia"}
    assert all(c.seeds == len(SEEDS) for c in of_a)


def test_nothing_to_compare_with(tmp_path: Path) -> None:
    grid = {key: value for key, value in GRID.items() if key not in ("baseline", "reference")}
    text = write_report(made_up(tmp_path / "alone", grid, known)).read_text()
    assert "neither a baseline nor a reference" in text
    assert "paired tests" not in text


def test_less_is_better(tmp_path: Path) -> None:
    grid = GRID | {"report": ["mae", "iou"], "tests": ["mae"]}

    def figures(run: PlannedRun) -> dict[str, float]:
        method = run.cell["method"]
        return {"mae": {"baseline": 20, "res-g": 10.25, "gradia": 30}[method] + 0.5 * run.seed, "iou": 0.5}

    text = write_report(made_up(tmp_path / "ages", grid, figures)).read_text()
    assert "MAE (less is better)" in text
    assert "**12 ± 1.024** ▲" in text
    assert "| 31.75 ± 1.024 ▼ |" in text
    assert (
        "- **MAE, against baseline:** better: res-g (-9.75, p 0.023); worse: gradia (+10, p 0.023)." in text
    )


def test_failed_and_missing_runs_are_told(tmp_path: Path) -> None:
    def figures(run: PlannedRun) -> dict[str, Any] | None:
        if run.cell["method"] == "gradia" and run.seed > 5:
            return None
        if run.cell["method"] == "res-g":
            return {"status": "failed", "error": "no memory | left"}
        return known(run)

    text = write_report(made_up(tmp_path / "holes", GRID, figures)).read_text()
    assert "Not all runs have finished" in text
    assert "no memory \\| left" in text
    assert "and 3 more that failed" in text
    assert "- missing: gradia, all runs: seed 6, 7" in text
    assert "| res-g | – | – | – | – | 0 |" in text
    assert "| gradia | 0.800 ± 0.000 | 0.300 ± 0.011 | 100 | 8.0 | 6 |" in text


def test_a_group_without_any_run(tmp_path: Path) -> None:
    grid = GRID | {"axes": {"epochs": [3, 4], **GRID["axes"]}}

    def figures(run: PlannedRun) -> dict[str, Any] | None:
        return None if run.cell["epochs"] == "4" else known(run)

    text = write_report(made_up(tmp_path / "half", grid, figures)).read_text()
    assert "### epochs 4\n\nNo run has finished." in text


def test_worst_group_is_shown_where_there_are_groups(tmp_path: Path) -> None:
    text = write_report(
        made_up(tmp_path / "groups", GRID, lambda run: known(run) | {"worst_group_accuracy": 0.4})
    ).read_text()
    assert "| method | Accuracy | IoU | Worst group accuracy |" in text


def test_choice_of_hyperparameters_is_told(tmp_path: Path) -> None:
    choose = {"options": {"lr": [0.001, 0.002, 0.003]}, "by": ["accuracy", "iou"], "seeds": [100]}

    def figures(run: PlannedRun) -> dict[str, float]:
        good = run.chosen["lr"] == 0.002
        return known(run) | {"val_accuracy": 0.9 if good else 0.1, "val_iou": 0.5}

    text = write_report(made_up(tmp_path / "chosen", GRID | {"choose": choose}, figures)).read_text()
    assert "chosen on validation images only, with the same budget for every entry" in text
    assert "3 candidates, trained with seed 100, which the runs below do not have" in text
    assert "the largest mean of accuracy and iou" in text
    assert "33 runs finished, 9 of all 33 to choose hyperparameters" in text
    assert text.count("| lr 0.002 | **0.700** |") == 3
    assert text.count("| lr 0.001 | 0.300 |") == 3
    assert "All 9 candidates on the validation images" in text


def test_what_is_not_tuned_is_told(tmp_path: Path) -> None:
    choose = {"options": {"lr": [0.001, 0.002]}, "fixed": ["baseline"], "by": "accuracy", "seeds": [100]}
    known_too = made_up(
        tmp_path / "fixed", GRID | {"choose": choose}, lambda r: known(r) | {"val_accuracy": 0.5}
    )
    text = write_report(known_too).read_text()
    assert "with the same budget for every other entry: in each group 2 candidates" in text
    assert "baseline: as they are, nothing was chosen." in text
    assert "| baseline | as it is | **0.500** |" in text, "beside those that were chosen from"


def test_rows_of_an_earlier_grid_are_left_out(experiment: Path) -> None:
    file = experiment / "results.csv"
    rows = list(csv.DictReader(file.open()))
    with file.open("a", newline="") as text:
        csv.DictWriter(text, list(rows[0])).writerow(rows[0] | {"fingerprint": "old", "iou": "0.9"})
    text_of_page = write_report(experiment).read_text()
    assert "1 rows of results.csv are of an earlier version of the grid" in text_of_page
    assert "24 runs finished" in text_of_page


def test_interval_over_images_keeps_the_seeds_of_an_image_together(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    right = {"baseline": [True, False, False, False], "res-g": [True, True, True, True], "gradia": [True] * 3}

    def figures(run: PlannedRun) -> dict[str, float]:
        images(folder, run, right[run.cell["method"]])
        return known(run)

    found = {
        (c.entry, c.against, c.measure): c for c in compare(read_results(made_up(folder, GRID, figures)))
    }
    of_images = found["res-g", "baseline", "accuracy"].images
    assert of_images is not None
    assert (of_images.mean, of_images.n) == (0.75, 4)
    assert (of_images.low, of_images.high) == (0.25, 1.0), "of four images, whatever the number of seeds"
    assert found["gradia", "baseline", "accuracy"].images is None, "not the same images"
    assert "+0.250 to +1.000" in write_report(folder).read_text()


def test_interval_over_images_of_the_worst_group_draws_within_groups(tmp_path: Path) -> None:
    folder = tmp_path / "groups"
    right = {"baseline": [True, True, False, False], "res-g": [True] * 4, "gradia": [True, True, True, False]}

    def figures(run: PlannedRun) -> dict[str, float]:
        correct = right[run.cell["method"]]
        images(folder, run, correct, groups=["land", "land", "water", "water"])
        return known(run) | {"worst_group_accuracy": sum(correct[2:]) / 2}

    grid = GRID | {"tests": ["worst_group_accuracy"]}
    found = {(c.entry, c.against): c.images for c in compare(read_results(made_up(folder, grid, figures)))}
    clear, half = found["res-g", "baseline"], found["gradia", "baseline"]
    assert clear is not None
    assert (clear.mean, clear.low, clear.high) == (1.0, 1.0, 1.0), "all of water is wrong in every resample"
    assert half is not None
    assert (half.mean, half.low, half.high) == (0.5, 0.0, 1.0), "of two images of water, one is right"


def test_seeds_are_as_many_as_have_run(tmp_path: Path) -> None:
    text = write_report(
        made_up(tmp_path / "some", GRID, lambda run: known(run) if run.seed < 3 else None)
    ).read_text()
    assert "(Student, as many as the last column says)" in text


def test_damaged_images_are_named(experiment: Path) -> None:
    run = read_results(experiment).final[0]["run"]
    file = experiment / "images" / f"{run}.csv"
    file.parent.mkdir()
    file.write_text("id,correct\na,perhaps\n")
    with pytest.raises(DataError, match=re.escape(str(file))):
        write_report(experiment)


def test_page_is_a_copy_with_its_pictures(experiment: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "known.md"
    assert write_report(experiment, page) == page
    assert sorted(file.name for file in page.parent.iterdir()) == [
        "known-pareto.png",
        "known-rows.csv.gz",
        "known.csv",
        "known.md",
    ]
    text = page.read_text()
    rows = page.with_name("known-rows.csv.gz")
    read = list(csv.DictReader(io.StringIO(gzip.decompress(before := rows.read_bytes()).decode())))
    assert len(read) == 24
    assert {json.loads(row["options"])["data"] for row in read} == {"photos"}
    assert "secret" not in str(read)
    assert "(known-pareto.png)" in text
    assert "[known.csv](known.csv)" in text
    assert "lookright bench report evidence/known --page known.md" in text
    assert str(tmp_path) not in text
    write_report(experiment, page)  # what it wrote itself it may replace
    assert rows.read_bytes() == before


def test_page_of_somebody_else_stays(experiment: Path, tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    page.write_text("# Mine\n")
    with pytest.raises(ConfigError, match="lookright bench report has not written it"):
        write_report(experiment, page)
    assert page.read_text() == "# Mine\n"
    assert not (experiment / "report").exists()
    picture = tmp_path / "new-pareto.png"
    picture.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"new-pareto\.png exists"):
        write_report(experiment, tmp_path / "new.md")
    assert picture.read_bytes() == b"mine"
    with pytest.raises(ConfigError, match="Markdown"):
        write_report(experiment, tmp_path / "known.html")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "results.csv").unlink(), "results.csv: does not exist; give a folder that"),
        (lambda folder: (folder / "grid.yaml").unlink(), "grid.yaml: does not exist"),
        (lambda folder: (folder / "results.csv").write_text("a,b\n1,2\n"), "results.csv"),
        (lambda folder: (folder / "results.csv").write_text("fingerprint\n"), "no run of .* has finished"),
    ],
)
def test_folders_that_hold_no_experiment(spoil: Any, message: str, experiment: Path) -> None:
    spoil(experiment)
    with pytest.raises(DataError, match=message):
        write_report(experiment)


def test_made_up_rows_have_the_columns_of_real_ones() -> None:
    assert {"train_seconds", "annotated_images", "test_images", "seconds"} <= ABOUT.keys()
