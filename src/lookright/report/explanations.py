"""The explanation of one photo as files: an overlay to look at and the map to compute with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookright.engine.images import ExplainedImage
from lookright.errors import ConfigError
from lookright.files import replacing
from lookright.report.overlay import overlay


def write_explanation(explained: ExplainedImage, out: Path, *, overwrite: bool = False) -> Path:
    """Write NAME.png, the heat map over the photo, and NAME.npy, the raw (h, w) map of the predicted class.

    Args:
        explained: a photo with its explanation
        out: folder to write
        overwrite: replace files of the same name

    Returns:
        the PNG

    Raises:
        ConfigError: the files are there already.
        DataError: the folder cannot be written.
    """
    picture, array = out / f"{explained.path.stem}.png", out / f"{explained.path.stem}.npy"
    for file in (picture, array):
        if file.exists() and not overwrite:
            raise ConfigError(f"out: {file} exists; choose another folder, or --overwrite it")
    with replacing(picture) as temporary:
        overlay(explained.photo, explained.explanation).save(temporary, format="PNG")
    with replacing(array) as temporary, temporary.open("wb") as opened:
        np.save(opened, explained.explanation)
    return picture
