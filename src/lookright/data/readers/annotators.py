"""Several annotators: a folder `annotators/` with one folder or file for each, in any format."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem
from lookright.data.annotators import Annotators, Combination
from lookright.data.layout import list_files
from lookright.data.readers.folders import KINDS
from lookright.data.readers.sources import NO_CATEGORY
from lookright.errors import DataError

ANNOTATORS = "annotators"

_SUFFIXES: dict[str, str] = {
    "coco": ".json",
    "voc": ".xml",
    "labelme": ".json",
    "label-studio": ".json",
    "cvat": ".xml",
    "res": ".csv",
}

K = TypeVar("K", bound=Hashable)


def annotator_places(config: DataConfig, root: Path) -> dict[str, Path]:
    """Where each annotator's marks are: `annotators/<name>`, or `annotators/<name>.json` and the like.

    The folder lies in `config.annotations`, or is that itself, else in the data folder.

    Args:
        config: `annotations` and `format` count here
        root: the data folder

    Returns:
        name -> folder or file; empty if there is no such folder, or nothing of the format in it

    Raises:
        DataError: the folder holds nobody, or two of one name.
    """
    base = config.annotations or root
    folder = base if base.name == ANNOTATORS and config.annotations is not None else base / ANNOTATORS
    if not folder.is_dir():
        return {}
    places: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        is_file = entry.suffix.lower() == _SUFFIXES.get(config.format) and entry.is_file()
        if entry.name.startswith(".") or not (entry.is_dir() or is_file):
            continue
        name = entry.stem if is_file else entry.name
        if name in places:
            raise DataError(
                f"{entry}: {places[name].name} is of the annotator {name!r} too; keep one of the two"
            )
        places[name] = entry
    if not places:
        raise DataError(
            f"{folder}: holds no annotator; put the marks of each into a folder of its own there, "
            f"{ANNOTATORS}/anna/masks/ for instance, or remove it"
        )
    suffix = _SUFFIXES.get(config.format)
    if suffix and base != folder and not any(_holds(place, suffix) for place in places.values()):
        return {}  # masks that `lookright annotate` wrote, say, beside files of another format
    return places


def _holds(place: Path, suffix: str) -> bool:
    return place.is_file() or bool(list_files(place, {suffix}))


def read_annotators(
    read: Callable[[DataConfig], tuple[dict[K, Marks], list[Problem]]],
    places: dict[str, Path],
    config: DataConfig,
) -> tuple[dict[K, Marks], list[Problem]]:
    """Read each annotator's marks as if there were no other, and combine them as `config.combine` says.

    Args:
        read: what reads one annotator, whose place stands in `annotations`
        places: of the annotators
        config: of the run

    Returns:
        marks by whatever `read` gives them by, each `Annotators`; and the problems

    Raises:
        DataError: as `read`
    """
    combination = Combination(config.combine)
    drawn: dict[K, dict[str, Marks]] = defaultdict(dict)
    problems: list[list[Problem]] = []
    for name, place in places.items():
        marks, found = read(replace(config, annotations=place))
        problems.append(found)
        if not marks:
            found.append(Problem(place, "an annotator without any mark", "add the marks, or remove it"))
        for key, of_one in marks.items():
            drawn[key][name] = of_one
    # An annotator need not have used every category; one that nobody used is a mistake.
    lacking = Counter(what for found in problems for what in {problem.what for problem in found})
    said = [
        replace(problem, fatal=False, remedy="nothing to do if this annotator never needed it")
        if problem.what.startswith(NO_CATEGORY) and lacking[problem.what] < len(places)
        else problem
        for found in problems
        for problem in found
    ]
    beside = next(iter(places.values())).parent.parent
    said += [
        Problem(
            beside / kind,
            f"marks beside {ANNOTATORS}/: whose are they?",
            f"move it to {ANNOTATORS}/<name>/{kind}/, or remove it",
            fatal=True,
        )
        for kind in KINDS
        if config.format == "folders" and (beside / kind).is_dir()
    ]
    return {
        key: Annotators(tuple(by_name.values()), combination, tuple(by_name))
        for key, by_name in drawn.items()
    }, said
