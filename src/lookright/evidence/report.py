"""`lookright bench report`: the page of an experiment, with its tables and plots."""

from __future__ import annotations

from pathlib import Path

from lookright.evidence.compare import compare
from lookright.evidence.report_tables import means_table, tests_table
from lookright.evidence.results import read_results
from lookright.files import replacing

MARK = "<!-- written by lookright bench report; what is changed here is lost -->"
"""first line of a page: files without it are not replaced"""


def write_report(folder: Path) -> Path:
    """Write the report of an experiment: FOLDER/report/report.md.

    Args:
        folder: what `lookright bench GRID.yaml` wrote

    Returns:
        the page

    Raises:
        ConfigError, DataError: what is wrong with the folder; the report cannot be written.
    """
    results = read_results(folder)
    comparisons = compare(results)
    lines = [MARK, "", f"# {results.grid.name}", "", results.grid.about]
    for group in results.groups:
        lines += ["", f"## {group.title}", "", *means_table(results, group, comparisons)]
        tests = [comparison for comparison in comparisons if comparison.group == group]
        if tests:
            lines += ["", "Paired tests:", "", *tests_table(tests)]
    page = folder / "report" / "report.md"
    with replacing(page) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page
