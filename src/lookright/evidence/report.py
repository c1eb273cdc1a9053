"""`lookright bench report`: the page of an experiment, its plots, and its figures as a tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookright.errors import ConfigError
from lookright.evidence.axis_plots import budget_curves, corruption_maps
from lookright.evidence.compare import Comparison, compare
from lookright.evidence.findings import findings
from lookright.evidence.making import candidates_table, chosen_table, incomplete, making
from lookright.evidence.plots import Plot, pareto
from lookright.evidence.report_tables import about_images, escaped, means_table, paired_table
from lookright.evidence.results import Group, Results, read_results
from lookright.evidence.tidy import write_rows, write_tidy
from lookright.files import replacing

MARK = "<!-- written by lookright bench report; what is changed here is lost -->"
"""first line of a page: a file without it is not replaced"""


def write_report(folder: Path, page: Path | None = None) -> Path:
    """Write the report of an experiment: FOLDER/report/report.md, its pictures, and report.csv.

    Args:
        folder: what `lookright bench GRID.yaml` wrote
        page: file that it is written to as well, with its pictures and tables beside it as NAME-*.png,
            NAME.csv and NAME-rows.csv.gz

    Returns:
        the page

    Raises:
        ConfigError: `page` exists and is no report, or grid.yaml is damaged.
        DataError: no such experiment, nothing of it has finished, or the report cannot be written.
    """
    if page is not None:
        _refuse_foreign(page)
    results = read_results(folder)
    comparisons = compare(results)
    plots = draw(results)
    targets = [(folder / "report" / "report.md", "")]
    if page is not None:
        targets.append((page, f"{page.stem}-"))
        beside = [f"{page.stem}-{plot.name}.png" for plot in plots] + [f"{page.stem}.csv", _rows_of(page)]
        _refuse_beside(page, beside)
    for target, prefix in targets:
        for plot in plots:
            plot.save(target.with_name(f"{prefix}{plot.name}.png"))
        write_tidy(target.with_suffix(".csv"), results, comparisons)
        lines = page_lines(results, comparisons, plots, target, None if target != page else page)
        with replacing(target) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if page is not None:
        write_rows(page.with_name(_rows_of(page)), results)
    return targets[-1][0]


def _rows_of(page: Path) -> str:
    return f"{page.stem}-rows.csv.gz"


def _refuse_foreign(page: Path) -> None:
    """What somebody else wrote stays."""
    if page.suffix != ".md":
        raise ConfigError(f"page: got {page}, need the name of a Markdown file, as docs/evidence/NAME.md")
    if not page.exists():
        return
    try:
        first = page.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        first = ""
    if first != MARK:
        raise ConfigError(
            f"page: {page} exists, and lookright bench report has not written it; choose another name"
        )


def _refuse_beside(page: Path, names: Sequence[str]) -> None:
    """The files of a new page take the place of nobody's."""
    if page.exists():
        return
    for file in (page.with_name(name) for name in names):
        if file.exists():
            raise ConfigError(f"page: {file} exists, which would be replaced; choose another name")


def draw(results: Results) -> list[Plot]:
    """Draw what fits the grid."""
    plots = [pareto(results), budget_curves(results), *corruption_maps(results)]
    return [plot for plot in plots if plot is not None]


def page_lines(
    results: Results,
    comparisons: Sequence[Comparison],
    plots: Sequence[Plot],
    target: Path,
    page: Path | None = None,
) -> list[str]:
    """The page as lines of Markdown.

    Args:
        results: the experiment
        comparisons: its tests
        plots: that lie beside the page
        target: file that it is written to
        page: what the command that remakes it is given as --page
    """
    prefix = "" if page is None else f"{page.stem}-"
    grid = results.grid
    lines = [MARK, "", f"# {escaped(grid.name)}"]
    if grid.about:
        lines += ["", escaped(grid.about)]
    if told := incomplete(results):
        lines += ["", *told]
    lines += ["", "## What it says", "", *findings(results, comparisons)]
    for plot in plots:
        lines += ["", f"![{escaped(plot.alt)}]({prefix}{plot.name}.png)", "", f"*{escaped(plot.caption)}*"]
    lines += ["", "## Figures", "", *_how_to_read(results, comparisons)]
    for group in results.groups:
        lines += ["", f"### {escaped(group.title)}", *_group_lines(results, group, comparisons)]
    csv = target.with_suffix(".csv").name
    runs = "" if page is None else f" The rows of the runs: [{_rows_of(page)}]({_rows_of(page)})."
    lines += ["", f"All figures, with those that stand in no table: [{csv}]({csv}).{runs}"]
    lines += ["", "## How it was made", "", *making(results, page)]
    if chosen := chosen_table(results):
        lines += ["", *chosen, "", *candidates_table(results)]
    return lines


def _group_lines(results: Results, group: Group, comparisons: Sequence[Comparison]) -> list[str]:
    if not results.measures(group):
        return ["", "No run has finished."]
    lines = ["", *means_table(results, group, comparisons), "", about_images(results, group)]
    if tests := [comparison for comparison in comparisons if comparison.group == group]:
        head = f"<details><summary>{len(tests)} paired tests</summary>"
        lines += ["", head, "", *paired_table(tests), "", "</details>"]
    return lines


def _how_to_read(results: Results, comparisons: Sequence[Comparison]) -> list[str]:
    seeds = len(results.grid.seeds)
    of_them = f"{seeds} of them" if not results.missing() else "as many as the last column says"
    recorded = any(row.get("waited") for row in results.final)
    lines = [
        f"Mean ± half of the 95 % interval over the seeds (Student, {of_them}). Bold: the best mean, "
        "clear or not. Annotated: images of training that have an annotation, whether a method uses it or "
        "not. Seconds: of one run, set-up included, without evaluation; the median."
        if seeds > 1
        else "Figures of one seed, without intervals. Bold: the best one. Annotated: images of training that "
        "have an annotation, whether a method uses it or not. Seconds: of a run, without evaluation."
    ]
    lines[0] += " Seconds of runs that waited for a core do not count." * recorded
    if comparisons:
        lines += [
            "",
            "Tests: permutation of signs of the differences, paired by seed, two-sided; Holm's correction "
            f"for all {len(comparisons)} of this page. ▲ and ▼: clearly better or worse than "
            f"{escaped(results.grid.baseline or '')} (corrected p < 0.05). The interval over images draws "
            "test images anew, each with all of its seeds: what another test set of this size might give."
            if results.grid.baseline
            else "Tests: permutation of signs of the differences, paired by seed, two-sided; Holm's "
            f"correction for all {len(comparisons)} of this page. The interval over images draws test "
            "images anew, each with all of its seeds.",
        ]
    return lines
