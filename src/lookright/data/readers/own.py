"""Readers of the user's own: a function that `--format module.function` names."""

from __future__ import annotations

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem
from lookright.data.layout import Photos
from lookright.errors import ConfigError
from lookright.plugins import load, make


def read_with(path: str, photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read with a function of the user's, and check what it gives.

    Args:
        path: module.function; it takes photos and config, and gives marks by photo id, and problems
        photos: of the data folder
        config: the options

    Raises:
        ConfigError: the path does not import, the function raises, or it gives something else.
    """
    given = {"photos": photos, "config": config}
    found = make("format", load("format", path), {}, name=path, given=given)
    match found:
        case (dict() as marks, list() as problems):
            pass
        case _:
            raise ConfigError(
                f"format: {path} gave a {type(found).__name__}, need a pair: a dict of photo id -> Marks, "
                "and a list of Problem"
            )
    known = {photo.id for photo in photos.all}
    for photo_id, of_photo in marks.items():
        if photo_id not in known:
            raise ConfigError(
                f"format: {path} gave marks for {photo_id!r}, which is no photo; the id of one is "
                f"'{photos.all[0].id}', for example"
            )
        if not isinstance(of_photo, Marks):
            raise ConfigError(
                f"format: {path} gave a {type(of_photo).__name__} for {photo_id!r}, need something derived "
                "from lookright.data.Marks, such as Shapes, MaskFiles or Matrix"
            )
    for problem in problems:
        if not isinstance(problem, Problem):
            raise ConfigError(
                f"format: {path} gave a {type(problem).__name__} as a problem, need a lookright.data.Problem"
            )
    return marks, problems
