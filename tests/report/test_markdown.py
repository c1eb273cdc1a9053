from pathlib import Path

import pytest

from lookright.errors import ConfigError
from lookright.report import write_markdown
from lookright.report.compare import group_by_method
from lookright.report.runs import read_runs
from lookright.report.tables import figure_table


def test_the_table_says_what_the_report_says(six_methods: list[Path], tmp_path: Path) -> None:
    lines = write_markdown(six_methods, tmp_path / "table.md").read_text().splitlines()
    table = figure_table(group_by_method(read_runs(six_methods)))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows[2:]] == [method.label for method, _ in table.rows]
    for row, (_, entries) in zip(rows[2:], table.rows, strict=True):
        assert [cell.strip("*") for cell in row[1:]] == [f"{e.mean} {e.sd}".strip() for e in entries]
        assert [cell.startswith("**") for cell in row[1:]] == [e.best for e in entries]
    assert any(line.startswith("- **evidence**: ") for line in lines)


def test_an_existing_file_is_kept_unless_asked(six_methods: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "table.md"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_markdown(six_methods, file)
    assert file.read_text() == "mine"
    assert write_markdown(six_methods, file, overwrite=True).read_text() != "mine"
