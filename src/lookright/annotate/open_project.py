"""Opening a project: the photos of a data folder, marks to start with, and the layer of one annotator."""

from __future__ import annotations

import getpass
import re
import warnings
from dataclasses import replace
from pathlib import Path

from lookright.annotate.project import Project
from lookright.annotate.store import Layer, mask_names
from lookright.config import DataConfig
from lookright.data.annotations import AnnotationSet, Marks
from lookright.data.layout import Photos, find_photos
from lookright.data.readers import check_command, read_marks, refuse_fatal
from lookright.data.readers.annotators import ANNOTATORS
from lookright.data.readers.folders import KINDS
from lookright.data.splits import is_labelled, label_photos, without_labels
from lookright.errors import ConfigError, DataError, LookrightWarning
from lookright.types import Task

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def open_project(
    data: Path, *, annotator: str | None = None, out: Path | None = None, start: DataConfig | None = None
) -> Project:
    """Read what a data folder holds, and take the layer of one annotator.

    Args:
        data: folder of photos, in class folders or not
        annotator: whose layer; by default the login name
        out: folder that holds `annotators/`; by default the data folder
        start: what is marked already: `annotations`, `format`, the categories and `combine` count; where it
            names neither annotations nor format, what the data folder holds, if `annotators/` lies elsewhere

    Raises:
        ConfigError: marks beside `annotators/`, a name that cannot be one, an unknown format, options of
            `start` that nothing is read with, or somebody else writes the layer.
        DataError: no photos, marks that cannot be read, or nothing can be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (3, 2)).save(folder / "a.png")
        >>> project = open_project(folder, annotator="anna")
        >>> project.items[0].id, project.marks(0).shape, project.annotators()
        ('a.png', (2, 3), ['anna'])
        >>> project.close()
    """
    name = login_name() if annotator is None else annotator
    if not _NAME.fullmatch(name):
        raise ConfigError(f"annotator: got {name!r}; use letters, digits, - and _, at most 64 of them")
    photos = find_photos(data)
    base = data if out is None else out
    _check_base(base, data)
    images = _label(photos)
    config = replace(start or DataConfig(), data=data)
    is_named = config.annotations is not None or config.format != DataConfig.format
    is_elsewhere = base.resolve() != data.resolve()
    _refuse_idle(config, is_read=is_named or is_elsewhere)
    if is_named:
        before = _read_start(photos, config)
    else:
        before = read_marks(photos, config)[0] if is_elsewhere else {}
    source = config.annotations or data
    return Project(
        images=images,
        layer=Layer(base, name, photos),
        before=before,
        base=base,
        annotator=name,
        source=source.resolve().name if before else None,
    )


def _check_base(base: Path, data: Path) -> None:
    """Refuse folders in which a reader would take marks for something else."""
    if base.name == ANNOTATORS:
        raise ConfigError(f"out: {base} would hold {ANNOTATORS}/ once more; give the folder above it")
    for kind in KINDS:
        if (base / kind).is_dir():
            raise ConfigError(
                f"{base} holds {kind}/, which cannot stand beside {ANNOTATORS}/; give another folder with "
                "--out: the marks of DATA are shown, and what you change is written there"
            )
    photos = data / "images" if (data / "images").is_dir() else data
    there, place = base.resolve(), photos.resolve()
    # Of the folder of photos itself, readers pass over annotators/ where it is the data folder too.
    if there.is_relative_to(place) and not (there == place == data.resolve()):
        raise ConfigError(
            f"out: {base} lies among the photos, where masks would be read as photos; give one outside"
        )


def _refuse_idle(config: DataConfig, *, is_read: bool) -> None:
    """Refuse options of the marks to start with that would say nothing."""
    if config.combine != DataConfig.combine and not is_read:
        raise ConfigError(
            f"combine: {config.combine} is about several people's marks to start with, and there are none; "
            "say which with --annotations and --format, or give --out to start with those of DATA"
        )
    for name in ("positive_categories", "negative_categories"):
        if getattr(config, name) and config.format == "folders":
            raise ConfigError(
                f"{name}: masks in folders have no categories; give the --format of marks that have some, or "
                "leave it out"
            )


def login_name() -> str:
    """The name that the system knows a person by, made to fit a folder; "me" where it knows none."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "me"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:64] or "me"


def _label(photos: Photos) -> AnnotationSet:
    """All photos that count, with labels where there are any; sorted by id."""
    if is_labelled(photos):
        found = label_photos(photos)
        if found.task is Task.MULTI_LABEL:
            raise ConfigError(
                f"data: the images of {photos.root} have several labels each, and marks drawn here are of "
                "one; draw those of each class with a tool that writes masks/<class>/"
            )
    else:
        found = without_labels(photos)
    names, unnamed = mask_names(photos)
    left_out = len(photos.all) - len([item for item in found.items if item.id in names])
    kept = tuple(sorted((item for item in found.items if item.id in names), key=lambda item: item.id))
    if not kept:
        wrong = [str(problem) for problem in found.problems] or [f"{photos.root}: no image can be annotated"]
        raise DataError(wrong[0])
    if left_out:
        why = (
            f"several are called like {unnamed[0].id}"
            if unnamed
            else "they have no class, or are not listed in the table"
        )
        warnings.warn(
            f"{left_out} image(s) of {photos.root} are left out ({why}); lookright check tells more",
            LookrightWarning,
            stacklevel=3,
        )
    return AnnotationSet(found.root, found.classes, kept, found.problems, found.task)


def _read_start(photos: Photos, config: DataConfig) -> dict[str, Marks]:
    """Marks in any format; what is wrong with some of them is said, and is no reason not to start."""
    marks, problems = read_marks(photos, config)
    refuse_fatal(problems, config)
    if not marks:
        why = f" | {problems[0]}" if problems else "; see that it is about these photos, and the categories"
        raise DataError(f"{config.annotations or config.data}: marks no photo of {config.data}{why}")
    if problems:
        more = f" | and {len(problems) - 1} more" if len(problems) > 1 else ""
        warnings.warn(
            f"{problems[0]}{more} | '{check_command(config)}' lists everything",
            LookrightWarning,
            stacklevel=3,
        )
    return marks
