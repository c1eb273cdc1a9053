"""`lookright data prepare NAME`: data sets made of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from lookright.cli.parser import Parser, add_config, add_options, read_config, say
from lookright.config import (
    DataConfig,
    DecoyConfig,
    GenderConfig,
    PrepareConfig,
    SceneConfig,
    ShiftedConfig,
    WaterbirdsConfig,
)

if TYPE_CHECKING:
    from lookright.data.prepare import Prepared

_HOW_MARKED = ("annotations", "format", "positive_categories", "negative_categories", "combine")
"""Options of a data folder that count when one is made of it."""


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
    of_training = {f.name for f in fields(DataConfig)}.difference(_HOW_MARKED)
    for name, (help_text, config, usage, leave_out, _) in DATA_SETS.items():
        command = Parser(description=help_text[0].upper() + help_text[1:] + ".")
        names.add_subcommand(name, command, help=help_text)
        command.usage = f"lookright data prepare {name} {usage} --out FOLDER [options]"
        add_config(command)
        add_options(command, config, leave_out=(*of_training, *leave_out))


def data(options: Namespace) -> None:
    """Make the data set, and say what is in it."""
    name: str = options.prepare.subcommand
    _, config, _, _, prepare = DATA_SETS[name]
    prepared = prepare(read_config(config, options.prepare[name]))
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


def _decoy(config: DecoyConfig) -> Prepared:
    from lookright.data.prepare import prepare_decoy

    return prepare_decoy(config)


def _gender(config: GenderConfig) -> Prepared:
    from lookright.data.prepare import prepare_gender

    return prepare_gender(config)


def _scene(config: SceneConfig) -> Prepared:
    from lookright.data.prepare import prepare_scene

    return prepare_scene(config)


def _shifted(config: ShiftedConfig) -> Prepared:
    from lookright.data.prepare import prepare_shifted

    return prepare_shifted(config)


def _waterbirds(config: WaterbirdsConfig) -> Prepared:
    from lookright.data.prepare import prepare_waterbirds

    return prepare_waterbirds(config)


DATA_SETS: dict[str, tuple[str, type[PrepareConfig], str, tuple[str, ...], Callable[..., Prepared]]] = {
    "decoy": (
        "stamp a marker on photos that tells the class in training and lies in the test",
        DecoyConfig,
        "--from SET",
        (),
        _decoy,
    ),
    "gender": (
        "take photos of COCO whose captions name a man or a woman, with the people's segmentation",
        GenderConfig,
        "--from FOLDER --images FOLDER",
        _HOW_MARKED,
        _gender,
    ),
    "scene": (
        "take nature and urban scenes of Places365, with RES's annotations",
        SceneConfig,
        "--from FOLDER [--images FOLDER]",
        _HOW_MARKED,
        _scene,
    ),
    "shifted": (
        "paste marked objects on backgrounds that tell the class in training alone (Waterbirds)",
        ShiftedConfig,
        "--from SET --background SET2",
        (),
        _shifted,
    ),
    "waterbirds": (
        "take the published Waterbirds, with CUB's segmentations",
        WaterbirdsConfig,
        "--from FOLDER --segmentations FOLDER",
        (*_HOW_MARKED, "seed"),
        _waterbirds,
    ),
}
"""name -> (help, its options, usage, options that it lacks, what makes it)"""
