"""Rough annotations made of good ones on purpose: to see which methods bear what people really draw.

Yuyang Gao et al., "RES: A Robust Framework for Guiding Visual Explanation", KDD 2022, name three challenges:
inaccurate boundaries, incomplete regions, and binary annotations of continuous explanations.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from lookright.data.annotations import Area
from lookright.data.corrupt_kinds import (
    Binary,
    Box,
    Dilate,
    Drop,
    Erode,
    Graded,
    Jitter,
    Kind,
    Part,
    Polygon,
    Scribble,
)
from lookright.data.splits import shuffle_key
from lookright.errors import ConfigError
from lookright.plugins import make, unknown_name
from lookright.specification import Part as Named
from lookright.specification import parse_sum

KINDS: dict[str, type[Kind]] = {
    "dilate": Dilate,
    "erode": Erode,
    "jitter": Jitter,
    "polygon": Polygon,
    "box": Box,
    "drop": Drop,
    "part": Part,
    "scribble": Scribble,
    "graded": Graded,
    "binary": Binary,
}
"""What the option `corrupt` can name."""
EXAMPLE = "'dilate(0.1) + drop(0.3)'"


@dataclass(frozen=True)
class Corruption:
    """Kinds applied one after the other.

    Example:
        >>> rough = parse_corruption("dilate(0.5) + drop(0.5)")
        >>> square = np.pad(np.ones((4, 4), dtype=np.float32), 4)
        >>> square.sum().item(), rough(square, seed=0, item_id="images/cat/a.jpg").sum().item()
        (16.0, 30.0)
    """

    kinds: Sequence[Kind]

    def __call__(self, signed: Area, *, seed: int, item_id: str, label: int = 0) -> Area:
        """Make the annotation of an image rough; it depends on these arguments alone.

        Args:
            signed: (H, W) in [-1, 1]
            seed: of the run
            item_id: of the image
            label: of the annotated class, where an image has several

        Returns:
            (H, W) in [-1, 1]
        """
        key = shuffle_key(seed, f"{item_id}:{label}")
        generator = np.random.default_rng(int.from_bytes(key, "big"))
        for kind in self.kinds:
            signed = kind(signed, generator)
        return signed


def parse_corruption(text: str) -> Corruption:
    """Read the option `corrupt`: a kind, or several with '+' between, applied from left to right.

    The first option of a kind can be given without its name: 'drop(0.3)' is 'drop(share=0.3)'.

    Raises:
        ConfigError: it is no such thing, a kind is unknown, or its option is out of range.

    Example:
        >>> parse_corruption("dilate(0.1) + drop(0.3)").kinds
        (Dilate(amount=0.1), Drop(share=0.3))
    """
    parts = parse_sum("corrupt", text, example=EXAMPLE, unnamed=True)
    return Corruption(tuple(_make_kind(part, text) for part in parts))


def _make_kind(part: Named, text: str) -> Kind:
    if part.name not in KINDS:
        raise unknown_name("corrupt", part.name, KINDS, f"several such as {EXAMPLE}")
    if part.weight != 1:
        raise ConfigError(f"corrupt: got {text!r}: kinds have no weights; for example {EXAMPLE}")
    kind = KINDS[part.name]
    options = dict(part.options)
    if "" in options:
        first = next(iter(inspect.signature(kind).parameters), None)
        if first in options:
            raise ConfigError(f"corrupt: got {text!r}: option '{first}' of {part.name} is there twice")
        value = options.pop("")
        options[first or str(value)] = value  # without a first one, `make` refuses the value by name
    return cast(Kind, make("corrupt", kind, options, name=part.name))
