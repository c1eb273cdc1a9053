"""The explanation of one photo as files: an overlay to look at and the map to compute with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookright.engine.images import ExplainedImage
from lookright.errors import ConfigError
from lookright.files import replacing
from lookright.report.overlay import overlay
from lookright.types import Task


def write_explanation(
    explained: ExplainedImage, out: Path, *, name: str | None = None, overwrite: bool = False
) -> list[Path]:
    """Write NAME.png, the heat map over the photo, and NAME.npy, the raw (h, w) map of the predicted class.

    In a multi-label task each explained class gives NAME-CLASS.png and NAME-CLASS.npy.

    Args:
        explained: a photo with its explanation
        out: folder to write
        name: what the files are called, with folders in it if need be (default: as the photo is)
        overwrite: replace files of the same name

    Returns:
        the PNGs

    Raises:
        ConfigError: the files are there already.
        DataError: the folder cannot be written.
    """
    called = explained.path.stem if name is None else name
    several = explained.task is Task.MULTI_LABEL
    maps = {
        out / (f"{called}-{of.replace('/', '_')}" if several else called): values
        for of, values in explained.explanations.items()
    }
    files = [Path(f"{stem}{suffix}") for stem in maps for suffix in (".png", ".npy")]
    if there := [file for file in files if file.exists() and not overwrite]:
        raise ConfigError(f"out: {there[0]} exists; choose another folder, or --overwrite it")
    for stem, values in maps.items():
        with replacing(Path(f"{stem}.png")) as temporary:
            overlay(explained.photo, values).save(temporary, format="PNG")
        with replacing(Path(f"{stem}.npy")) as temporary, temporary.open("wb") as opened:
            np.save(opened, values)
    return [Path(f"{stem}.png") for stem in maps]
