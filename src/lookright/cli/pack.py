"""`lookright pack`: a data folder as shards to be streamed."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from lookright.cli.parser import Parser, add_options, read_config, say
from lookright.config import DataConfig

_LEFT_OUT = ("image_size", "annotated_per_class", "train_per_class")


def pack_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = "lookright pack DATA --out SHARDS [--annotations PATH --format FORMAT] [options]"
    add_options(parser, DataConfig, leave_out=_LEFT_OUT)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards; new or empty")
    parser.add_argument("--images-per-shard", type=int, default=1000, help="images in one tar file, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which images are packed")


def pack(options: Namespace) -> None:
    """Write the shards."""
    from lookright.data import read_annotations
    from lookright.data.shards import write_shards

    annotation_set = read_annotations(read_config(DataConfig, options))
    index = write_shards(
        annotation_set, options.out, images_per_shard=options.images_per_shard, seed=options.seed
    )
    images = sum(shard.images for shard in index.shards)
    annotated = sum(shard.annotated for shard in index.shards)
    say(f"{options.out}: {images} images, {annotated} of them annotated, in {len(index.shards)} shards")
