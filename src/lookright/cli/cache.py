"""`lookright cache`: what is kept between runs, and getting rid of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from lookright.cli.parser import Parser, fail, say

if TYPE_CHECKING:
    from lookright.engine.feature_cache import Entry

_HEAD = ("network", "layer", "image size", "images", "MB", "last used")


def cache_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = "lookright cache [--clear] [--cache-dir DIR]"
    parser.add_argument("--clear", action="store_true", help="delete all of it that no run is using")
    parser.add_argument(
        "--cache-dir", type=Path | None, default=None, help="another folder than the one it tells of"
    )


def show_cache(options: Namespace) -> None:
    """Say what is in the cache, or clear it."""
    from lookright.engine.feature_cache import FeatureCache, cache_folder

    try:
        cache = FeatureCache(cache_folder(options.cache_dir))
        entries = cache.entries()
        if options.clear:
            kept = cache.clear()
            left = sum(entry.nbytes for entry in cache.entries())
            freed = sum(entry.nbytes for entry in entries) - left
            stays = f"; {kept} that a run is using stay" if kept else ""
            say(f"{cache.folder}: {_mb(freed)} MB deleted{stays}")
            return
    except (OSError, RuntimeError) as error:
        fail(f"cache: {error}; give another --cache-dir")
    total = sum(entry.nbytes for entry in entries)
    say(f"{cache.folder}: features of {len(entries)} frozen network(s), {_mb(total)} MB")
    if entries:
        say("\n".join(format_entries(entries)))
        say("Delete them with: lookright cache --clear")


def format_entries(entries: list[Entry]) -> list[str]:
    """Lay out feature files as the lines of a table."""
    rows = [
        (
            str(entry.about.get("network", "-")),
            str(entry.about.get("layer", "-")),
            str(entry.about.get("image size", "-")),
            str(entry.images),
            _mb(entry.nbytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
        )
        for entry in entries
        if not entry.problem
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    table = [_HEAD, tuple("-" * width for width in widths), *rows]
    lines = ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
    return (lines if rows else []) + [f"not usable: {entry.problem}" for entry in entries if entry.problem]


def _mb(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f}"
