"""The table of figures as Markdown, for documents that are kept with the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookright.errors import ConfigError
from lookright.files import replacing
from lookright.report.compare import group_by_method
from lookright.report.headline import headline
from lookright.report.runs import read_runs
from lookright.report.tables import FigureTable, faithfulness_table, figure_table


def write_markdown(runs: Sequence[Path], out: Path, *, overwrite: bool = False) -> Path:
    """Write the table of figures of the report, and its headline, as Markdown.

    Args:
        runs: run folders, trained and evaluated on the same images
        out: file to write
        overwrite: replace `out` where it exists

    Returns:
        `out`

    Raises:
        ConfigError: `out` exists and is not to be replaced.
        DataError: a run cannot be read or compared, or `out` cannot be written.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: exists already; choose another name, or allow overwriting")
    methods = group_by_method(read_runs(runs))
    lines = _lines(figure_table(methods))
    changed = faithfulness_table(methods)
    if changed.columns:
        lines += [
            "",
            "Images changed and predicted again (docs/metrics.md, faithfulness):",
            "",
            *_lines(changed),
        ]
    lines += ["", "Bold: best mean of its column, clear or not. ± is the standard deviation over the seeds."]
    lines += ["", *(f"- **{_escaped(verdict.label)}**: {verdict.sentence}" for verdict in headline(methods))]
    with replacing(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out


def _lines(table: FigureTable) -> list[str]:
    heads = ["Method", *(_cell(c.title, n) for c, n in zip(table.columns, table.counts, strict=True))]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * len(table.columns)]
    for method, entries in table.rows:
        cells = [f"**{_cell(e.mean, e.sd)}**" if e.best else _cell(e.mean, e.sd) for e in entries]
        lines.append("| " + " | ".join([_escaped(method.label), *cells]) + " |")
    return lines


def _cell(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
