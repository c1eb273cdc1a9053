"""`lookright data prepare NAME`: data sets made of others."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from lookright.cli.parser import Parser, add_config, add_options, read_config, say
from lookright.config import DataConfig
from lookright.prepare_config import (
    HOW_MARKED,
    DecoyConfig,
    DigitsConfig,
    GenderConfig,
    PrepareConfig,
    SceneConfig,
    ShiftedConfig,
    WaterbirdsConfig,
)

if TYPE_CHECKING:
    from lookright.data.prepare import Prepared


def data_arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.usage = "lookright data prepare NAME --out FOLDER [options]"
    prepare = Parser(description="Make a data set of others.")
    # From the outside in: jsonargparse wants commands of commands in this order.
    parser.add_subcommands(metavar="ACTION").add_subcommand(
        "prepare", prepare, help="make a data set of others"
    )
    prepare.usage = parser.usage
    names = prepare.add_subcommands(title="data sets", metavar="NAME")
    of_training = {f.name for f in fields(DataConfig)}.difference(HOW_MARKED)
    for name, (help_text, config, usage) in DATA_SETS.items():
        command = Parser(description=help_text[0].upper() + help_text[1:] + ".")
        names.add_subcommand(name, command, help=help_text)
        words = ["lookright data prepare", name, usage, "--out FOLDER [options]"]
        command.usage = " ".join(word for word in words if word)
        add_config(command)
        add_options(command, config, leave_out=(*of_training, *config.lacks))


def data(options: Namespace) -> None:
    """Make the data set, and say what is in it."""
    from lookright.data import prepare

    name: str = options.prepare.subcommand
    config, make = prepare.DATA_SETS[name]
    prepared = make(read_config(config, options.prepare[name]))
    say("\n".join(_lines(prepared)))


def _lines(prepared: Prepared) -> list[str]:
    lines = []
    for split, groups in prepared.groups.items():
        told = ", ".join(f"{group} {n}" for group, n in groups.items() if group)
        lines.append(f"{split:<6} {sum(groups.values()):>6} images{': ' if told else ''}{told}")
    lines += [f"remark: {remark}" for remark in prepared.remarks]
    lines.append(
        f"{prepared.folder}: {prepared.images} images, {prepared.annotated} of them annotated. "
        f"Next: lookright check {prepared.folder}"
    )
    return lines


DATA_SETS: dict[str, tuple[str, type[PrepareConfig], str]] = {
    "decoy": (
        "stamp a marker on photos that tells the class in training and lies in the test",
        DecoyConfig,
        "--from SET",
    ),
    "digits": (
        "write the decoy digits of lookright demo, which need no download",
        DigitsConfig,
        "",
    ),
    "gender": (
        "take photos of COCO whose captions name a man or a woman, with the people's segmentation",
        GenderConfig,
        "--from FOLDER --images FOLDER",
    ),
    "scene": (
        "take nature and urban scenes of Places365, with RES's annotations",
        SceneConfig,
        "--from FOLDER [--images FOLDER]",
    ),
    "shifted": (
        "paste marked objects on backgrounds that tell the class in training alone (Waterbirds)",
        ShiftedConfig,
        "--from SET --background SET2",
    ),
    "waterbirds": (
        "take the published Waterbirds, with CUB's segmentations",
        WaterbirdsConfig,
        "--from FOLDER --segmentations FOLDER",
    ),
}
"""name -> (help, its options, usage); what makes them is in `lookright.data.prepare`, which imports much"""
