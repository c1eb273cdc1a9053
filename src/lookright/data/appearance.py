"""The ways that a data set shows an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Appearance:
    """One way that an image is shown."""

    name: str
    """id of the image, and what of it is shown"""
    index: int
    """of the image in its data set"""
    mirrored: bool
    isolated: bool


def name_of(image_id: str, *, isolated: bool) -> str:
    """Name an image, or what is left of it where it is isolated: features are called by it."""
    return f"{image_id} (isolated)" if isolated else image_id
