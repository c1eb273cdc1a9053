"""`lookright bench`: experiments that are grids of runs."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from lookright.cli.parser import Parser, fail, say

_REPORT = "report"


def bench_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = (
        "lookright bench GRID.yaml [--out FOLDER] [options]\n"
        "       lookright bench report FOLDER [--page FILE]"
    )
    parser.add_argument(
        "grid",
        type=str,
        nargs="+",
        metavar="GRID.yaml",
        help="what varies, what is compared (docs/grids.md); or 'report FOLDER': its tables, plots and page",
    )
    parser.add_argument(
        "--out", type=Path | None, default=None, help="folder for results (default: evidence/NAME)"
    )
    parser.add_argument(
        "--processes",
        type=int | None,
        default=None,
        help="runs at the same time (default: one per core, 16 on a cluster)",
    )
    parser.add_argument(
        "--cluster",
        choices=("slurm", "local"),
        default=None,
        help="submit runs as jobs: slurm, or local to try it out; needs the extra cluster",
    )
    parser.add_argument(
        "--cluster-options", type=Path | None, default=None, help="a YAML file: what each job gets"
    )
    parser.add_argument("--limit", type=int | None, default=None, help="stop after so many runs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and how long")
    parser.add_argument(
        "--page",
        type=Path | None,
        default=None,
        help="report: also write the page to this Markdown file, its pictures beside it as NAME-*.png",
    )


def bench(options: Namespace) -> None:
    """Run a grid, say what it would do, or write its report."""
    first, *rest = options.grid
    if first == _REPORT:
        if len(rest) != 1:
            fail("bench report: give one folder, that of the experiment")
        _report(Path(rest[0]), options.page)
        return
    if options.page is not None:
        fail("--page: a page is written by lookright bench report FOLDER --page FILE, once a grid has run")
    if rest:
        fail(f"bench: got {len(rest) + 1} grids, give one; further ones run after it")
    _run(Path(first), options)


def _run(path: Path, options: Namespace) -> None:
    from lookright.evidence.cluster import AT_ONCE, read_cluster
    from lookright.evidence.grid import read_grid
    from lookright.evidence.outlook import default_out, describe_plan
    from lookright.evidence.plan import check_plan
    from lookright.evidence.run import run_grid
    from lookright.evidence.table import Table
    from lookright.evidence.workers import cores

    cluster = None
    if options.cluster is not None:
        cluster = read_cluster(options.cluster, options.cluster_options)
    elif options.cluster_options is not None:
        fail("--cluster-options: say where jobs go too, --cluster slurm")
    usual = AT_ONCE if options.cluster == "slurm" else cores()
    processes = usual if options.processes is None else options.processes
    if options.dry_run:
        grid = read_grid(path)
        out = default_out(grid) if options.out is None else options.out
        check_plan(grid, out)
        say("\n".join(describe_plan(grid, out, Table(out / "results.csv"), processes)))
        return
    out = run_grid(path, options.out, processes=processes, limit=options.limit, cluster=cluster)
    failed = [row for row in Table(out / "results.csv").rows.values() if row["status"] == "failed"]
    if failed:
        say(f"{len(failed)} runs failed, the first: {failed[0]['run']}: {failed[0]['error']}")
    say(f"{out}: results.csv. Next: lookright bench report {out}")


def _report(folder: Path, page: Path | None) -> None:
    from lookright.evidence.report import write_report

    say(f"written to {write_report(folder, page)}")
