"""Where runs were evaluated with --faithfulness, the report has a table of it."""

from pathlib import Path

from synthetic_runs import Workshop, edit_json

from lookright.report import build_report, write_markdown
from lookright.report.compare import group_by_method
from lookright.report.runs import read_runs
from lookright.report.tables import faithfulness_table


def changed(workshop: Workshop, method: str, swapped: float, deletion: float) -> Path:
    run = workshop.make_run(method, method, 0)
    figures = {"background_swap_accuracy": swapped, "deletion_auc": deletion}
    entries = {name: {"value": value, "n": 30} for name, value in figures.items()}
    edit_json(run / "evaluation" / "metrics.json", faithfulness={"images": 30}, **entries)
    return run


def test_the_best_is_marked_by_its_direction(workshop: Workshop) -> None:
    runs = [changed(workshop, "baseline", 0.25, 0.75), changed(workshop, "res-g", 0.5, 0.625)]
    table = faithfulness_table(group_by_method(read_runs(runs)))
    assert [column.title for column in table.columns] == ["Deletion", "Background swapped"]
    assert table.counts == ("n = 30", "n = 30")
    shown = [[(entry.mean, entry.best) for entry in entries] for _, entries in table.rows]
    assert shown == [[("0.750", False), ("0.250", False)], [("0.625", True), ("0.500", True)]]


def test_a_section_of_the_page_where_it_was_measured(workshop: Workshop) -> None:
    runs = [changed(workshop, "baseline", 0.25, 0.75), workshop.make_run("res-g", "res-g", 0)]
    page = build_report(runs, workshop.root / "with.html", gallery=0).read_text(encoding="utf-8")
    assert "Does it use what it shows?" in page
    assert "<dt>Background swapped</dt><dd>Accuracy where the background is" in page
    document = write_markdown(runs, workshop.root / "with.md").read_text(encoding="utf-8")
    assert "| Method | Deletion n = 30 | Background swapped n = 30 |" in document
    assert "| baseline | 0.750 | 0.250 |\n| res-g | – | – |" in document


def test_no_section_where_it_was_not(workshop: Workshop) -> None:
    runs = [workshop.make_run("res-g", "res-g", 0)]
    page = build_report(runs, workshop.root / "without.html", gallery=0).read_text(encoding="utf-8")
    assert "Does it use what it shows?" not in page
    document = write_markdown(runs, workshop.root / "without.md").read_text(encoding="utf-8")
    assert "Deletion" not in document
