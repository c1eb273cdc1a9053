"""`lookright annotate DATA`: say on photos where a classifier should look, in a browser."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from jsonargparse import Namespace

from lookright.cli.model import add_model_options, given_model_options, read_model_options
from lookright.cli.parser import Parser, add_device, add_options, fail, read_config, say
from lookright.config import DataConfig

_START = ("annotations", "format", "positive_categories", "negative_categories", "combine")
_NEEDS = ("starlette", "uvicorn", "skimage")


def annotate_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = "lookright annotate DATA [--annotations PATH --format FORMAT] [--run RUN] [options]"
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="photos: images/<class>/, or any folder of photos"
    )
    parser.add_argument(
        "--run",
        type=str | None,
        default=None,
        help="run folder, or a classifier by name as of 'lookright audit': shows where it looks, and what to "
        "mark first",
    )
    parser.add_argument(
        "--annotator", type=str | None, default=None, help="who marks (default: the login name)"
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        default=None,
        help="folder for annotators/NAME/, needed where DATA holds masks (default: DATA)",
    )
    parser.add_argument(
        "--runs",
        type=Path | None,
        default=None,
        help="folder of the runs that the button Correct trains (default: hidden beside the marks)",
    )
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address; others than this need --token"
    )
    parser.add_argument("--port", type=int, default=8017, help="0 takes a free one")
    parser.add_argument(
        "--token", type=str | None, default=None, help="12 characters or more that every visitor needs"
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="with --host or --name, also show photos that are links out of DATA",
    )
    parser.add_argument(
        "--name",
        type=str,
        nargs="+",
        default=[],
        metavar="HOST[:PORT]",
        help="further names by which browsers ask: of a tunnel, a container's host, in your DNS",
    )
    add_device(parser, help="where models compute")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    add_model_options(parser)
    leave_out = [f.name for f in fields(DataConfig) if f.name not in _START]
    add_options(parser, DataConfig, leave_out, title="What is marked already, to start with")


def annotate(options: Namespace) -> None:
    """Serve the page until it is interrupted."""
    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        fail(f"annotate needs {', '.join(missing)}: install lookright with the extra 'annotate'")
    if options.run is None and (given := given_model_options(options)):
        fail(f"{', '.join(given)}: says what the model is that --run names; add --run, or leave it out")
    from lookright.annotate.open_project import open_project
    from lookright.annotate.serve import check_address, serve
    from lookright.files import check_writable

    check_address(options.host, options.port, options.token, options.name)
    if options.runs is not None:
        check_writable("runs", options.runs)
    config = read_config(DataConfig, options)
    project = open_project(
        options.data,
        annotator=options.annotator,
        out=options.out,
        start=config,
    )
    looking = None
    try:
        if options.run is not None:
            from lookright.annotate.look import open_looking

            model = read_model_options(options)
            looking = open_looking(options.run, project.images, device=options.device, **model)
        serve(
            project,
            looking,
            host=options.host,
            port=options.port,
            token=options.token,
            follow_links=options.follow_links,
            names=options.name,
            open_browser=not options.no_browser,
            runs=options.runs,
            device=options.device,
            say=say,
        )
    finally:
        if looking is not None:
            looking.close()
        project.close()
