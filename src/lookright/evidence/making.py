"""How an experiment was made: the commands, its data, its choices, what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lookright.evidence.grid import Grid
from lookright.evidence.outlook import default_out, told
from lookright.evidence.plan import PATHS, judged
from lookright.evidence.report_tables import escaped, markdown_table
from lookright.evidence.results import Results, waited
from lookright.evidence.table import Row, number

_FAILURES = 5
"""that are told one by one"""


def incomplete(results: Results) -> list[str]:
    """Say what failed or is missing; nothing where all runs have finished."""
    lines = []
    failed = results.failed()
    for row in failed[:_FAILURES]:
        lines.append(f"- failed: {escaped(row['run'])}: {escaped(row['error'])}")
    if len(failed) > _FAILURES:
        lines.append(f"- and {len(failed) - _FAILURES} more that failed, see results.csv")
    if results.missing_choosing:
        lines.append(f"- missing: {results.missing_choosing} of the runs that choose hyperparameters")
    by_seeds: dict[str, list[str]] = {}
    for group, entry, seeds in results.missing():
        by_seeds.setdefault(_ranges(seeds), []).append(f"{escaped(entry)}, {group.title}")
    for which, cells in by_seeds.items():
        where = cells[0] if len(cells) == 1 else f"{len(cells)} of {len(results.grid.cells())} cells"
        lines.append(f"- missing: {where}: seed {which}")
    if not lines:
        return []
    return ["**Not all runs have finished; what is told rests on those that have.**", "", *lines]


def _ranges(numbers: Sequence[int]) -> str:
    """Tell numbers, rows of them by their ends.

    Example:
        >>> _ranges([0, 3, 4, 5, 7, 8])
        '0, 3 to 5, 7, 8'
    """
    rows: list[list[int]] = []
    for each in numbers:
        if rows and each == rows[-1][-1] + 1:
            rows[-1].append(each)
        else:
            rows.append([each])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)


def making(results: Results, page: Path | None) -> list[str]:
    """Say how it was made, as a list.

    Args:
        results: the experiment
        page: file that the page is copied to
    """
    grid = results.grid
    rows = [*results.choosing, *results.final]
    done = [row for row in rows if row["status"] == "finished"]
    copied = "" if page is None else f" --page {_here(page)}"
    out = default_out(grid)
    varied = {name for entries in grid.axes.values() for entry in entries for name in entry.options}
    if grid.choose is not None:
        varied |= {name for options in grid.choose.candidates for name in options}
    told_elsewhere = {*PATHS, *varied}
    plain = [f"`{name}` {_value(value)}" for name, value in grid.base.items() if name not in told_elsewhere]
    return [
        "```sh",
        f"lookright bench {_grid_file(results)}",
        f"lookright bench report {out}{copied}",
        "```",
        "",
        f"- Data: {', '.join(data_sets(results)) or 'not said'}.",
        f"- All runs: {', '.join(plain) or 'defaults'}. Seeds {', '.join(map(str, grid.seeds))}.",
        f"- {_choosing(grid)}",
        f"- {len(done)} runs finished, {len(results.choosing)} of all {len(rows)} to choose hyperparameters"
        f"{_computing(rows)}.",
        f"- {_machine(done)}",
        *_left_out(results),
    ]


def _computing(rows: Sequence[Row]) -> str:
    """How long the runs took; of those that were not timed alone, what the others took on average."""
    timed = [s for row in rows if not waited(row) and (s := number(row, "seconds")) == s]
    if not timed:
        return ""
    rest = "" if len(timed) == len(rows) else f", by the mean of the {len(timed)} whose time is known"
    return f"; {told(sum(timed) / len(timed) * len(rows))} of computing, summed over the runs{rest}"


def chosen_table(results: Results) -> list[str]:
    """What was chosen, per group and entry; nothing where nothing was."""
    if results.grid.choose is None:
        return []
    table = [[*results.grid.axes, "chosen"]]
    seen = set()
    for row in results.final:
        cell = tuple(row[axis] for axis in results.grid.axes)
        if cell not in seen:
            seen.add(cell)
            chosen = json.loads(row.get("chosen") or "{}")
            table.append([*map(escaped, cell), _named(chosen)])
    head = "<details><summary>Hyperparameters that were chosen</summary>"
    return [head, "", *markdown_table(table, texts=len(table[0])), "", "</details>"] if len(table) > 1 else []


def candidates_table(results: Results) -> list[str]:
    """What every candidate came to on the validation images, those as well that nothing was chosen for."""
    grid = results.grid
    if grid.choose is None:
        return []
    rows = [[*grid.axes, "candidate", f"mean of {' and '.join(grid.choose.by)}, validation"]]
    for labels, options, mean, is_taken in judged(grid, results.table):
        shown = "–" if mean is None else f"{mean:.3f}"
        named = _named(options) or "as it is"
        rows.append([*map(escaped, labels), named, f"**{shown}**" if is_taken else shown])
    head = f"<details><summary>All {len(rows) - 1} candidates on the validation images</summary>"
    return [head, "", *markdown_table(rows, texts=len(rows[0]) - 1), "", "</details>"]


def data_sets(results: Results) -> list[str]:
    """Names of the data sets, without where they lie."""
    given = [json.loads(row.get("options") or "{}").get("data") for row in results.final]
    names = dict.fromkeys(Path(str(name)).name for name in given if name is not None)
    made = results.grid.prepare
    return [f"{name} (made: {made[name]['set']})" if name in made else name for name in names]


def _choosing(grid: Grid) -> str:
    choose = grid.choose
    if choose is None:
        return (
            "Hyperparameters: nothing was chosen; every run has the options of the grid, whatever they suit."
        )
    seeds = "seed" + "s" * (len(choose.seeds) > 1) + " " + ", ".join(map(str, choose.seeds))
    apart = "" if set(choose.seeds) & set(grid.seeds) else ", which the runs below do not have"
    as_they_are = [label for label, candidates in choose.own.items() if candidates == ({},)]
    tuned = [label for label in choose.own if label not in as_they_are]
    own = f" {', '.join(map(escaped, tuned))}: as many candidates of their own." if tuned else ""
    own += f" {', '.join(map(escaped, as_they_are))}: as they are, nothing was chosen." if as_they_are else ""
    every = "every entry" if not as_they_are else "every other entry"
    names = dict.fromkeys(f"`{name}`" for options in choose.candidates for name in options)
    return (
        f"Hyperparameters ({', '.join(names)}) were chosen on validation images only, with the same budget "
        f"for {every}: in each group {len(choose.candidates)} candidates, trained with {seeds}{apart}; "
        f"the largest mean of {' and '.join(choose.by)} was taken.{own}"
    )


def _machine(rows: Sequence[Row]) -> str:
    dates = sorted(date[:10] for row in rows if (date := row.get("date")))
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "date not kept"
    on = [", ".join(_values(rows, name)) for name in ("processor", "device")]
    threads = " or ".join(_values(rows, "threads"))
    versions = [f"{name} {' or '.join(_values(rows, name.lower()))}" for name in ("torch", "Python")]
    return (
        f"{' on '.join(dict.fromkeys(text for text in on if text))}, {threads} threads each; "
        f"lookright {' or '.join(_values(rows, 'lookright'))}, {', '.join(versions)}; {when}."
    )


def _values(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(value for row in rows if (value := row.get(column))))


def _left_out(results: Results) -> list[str]:
    if not results.left_out:
        return []
    return [f"- {results.left_out} rows of results.csv are of an earlier version of the grid, and left out."]


def _grid_file(results: Results) -> str:
    """The grid as it is called where the command is typed, if it lies there unchanged."""
    file = Path("grids") / f"{results.grid.name}.yaml"
    same = file.is_file() and file.read_bytes() == (results.folder / "grid.yaml").read_bytes()
    return file.as_posix() if same else f"{results.grid.name}.yaml"


def _here(page: Path) -> str:
    absolute = page.absolute()
    return (
        absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else Path(page.name)
    ).as_posix()


def _named(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in options.items())


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(value)
    return escaped(str(value))
