"""`lookright audit MODEL DATA`: where a classifier looks, and what looks like a shortcut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from lookright.cli.model import add_model_options, read_model_options
from lookright.cli.parser import Parser, add_device, add_options, read_config, say
from lookright.config import DataConfig

if TYPE_CHECKING:
    from lookright.audit import Audit

_NOT_HERE = ("data", "image_size", "annotated_per_class", "train_per_class")


def audit_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = "lookright audit MODEL DATA --out DIR [options]"
    parser.add_argument(
        "model",
        type=str,
        metavar="MODEL",
        help="run folder; or a classifier by timm name, torchvision:NAME, or module:function of your own",
    )
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="photos: images/<class>/, or any folder of photos"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the page and the tables")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier audit in that folder")
    parser.add_argument(
        "--split",
        type=str | None,
        default=None,
        help="which images, or all (default: test for a run whose data has that split, else all)",
    )
    parser.add_argument(
        "--clusters",
        type=int,
        default=8,
        help="most groups of explanations per class; from 2 on, more where these fall apart by themselves",
    )
    parser.add_argument("--gallery", type=int, default=48, help="how many images to list on the page")
    add_device(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time")
    add_model_options(parser)
    add_options(parser, DataConfig, leave_out=_NOT_HERE)


def audit(options: Namespace) -> None:
    """Audit, write, and say what stands out."""
    from lookright.audit import PAGE, audit, check_folder, write_page, write_tables
    from lookright.report.gallery import check_gallery

    data = read_config(DataConfig, options)
    check_gallery(options.gallery)
    check_folder(options.out, overwrite=options.overwrite)
    found = audit(
        options.model,
        data,
        split=options.split,
        most_clusters=options.clusters,
        batch_size=options.batch_size,
        device=options.device,
        **read_model_options(options),
    )
    write_tables(found, options.out)
    write_page(found, data, options.out / PAGE, gallery=options.gallery)
    for line in _lines(found):
        say(line)
    say(f"Look at {options.out / PAGE}")


def _lines(found: Audit) -> list[str]:
    told = "" if found.accuracy is None else f", accuracy {found.accuracy:.3f}"
    groups, suspected = len(found.clusters), found.suspected
    lines = [f"{len(found.looks)} images{told}, {groups} groups of explanations"]
    if not suspected:
        lines.append("none of them looks like a shortcut, which is no proof that there is none")
    else:
        verb = "looks" if len(suspected) == 1 else "look"
        lines.append(f"{len(suspected)} of them {verb} like a shortcut, the most suspicious first:")
    for cluster in suspected[:5]:
        lines.append(f"  {cluster.name} ({cluster.size} images): {cluster.findings[0].reason}")
    if len(suspected) > 5:
        lines.append(f"  and {len(suspected) - 5} more")
    return lines
