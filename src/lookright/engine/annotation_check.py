"""Whether the training images have the marks that a method uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lookright.data import Counterexamples, ExplanationDataset
from lookright.errors import ConfigError
from lookright.losses import METHODS, ExplanationLoss

_REMEDY = {
    "positive": "mark where the evidence is",
    "negative": "mark where no evidence may be, give --negatives-outside 0.05",
}


def check_annotations(
    method: str, supervision: Sequence[ExplanationLoss | Counterexamples], train: ExplanationDataset
) -> None:
    """Refuse a method whose annotation is missing from the training images.

    Marks are drawn image by image, at the size of training, until all that is needed is found.

    Args:
        method: as the user wrote it
        supervision: what uses annotations
        train: the training images

    Raises:
        ConfigError: no image is annotated, or none has a mark of the only sign that something uses.
    """
    if not supervision:
        return
    annotated = [index for index, has in enumerate(train.annotated) if has]
    if not annotated:
        raise ConfigError(
            f"method: {method} needs annotations, and none of the {len(train)} training images has "
            "one; add masks, give --annotations, or use --method baseline"
        )
    missing: dict[str, str] = {}
    for part in supervision:
        signs = [sign for sign in _REMEDY if sign in part.uses]
        if len(signs) == 1:
            missing[signs[0]] = type(part).__name__
    for index in annotated:
        if not missing:
            return
        sample = train.sample(index, mirrored=False)
        marks = torch.stack([sample.annotation, *(annotation for _, annotation in sample.annotations)])
        for sign, there in (("positive", marks > 0), ("negative", marks < 0)):
            if bool(there.any()):
                missing.pop(sign, None)
    for sign, name in missing.items():
        raise ConfigError(
            f"method: {method} uses {sign} marks alone ({name}), and none of the {len(annotated)} annotated "
            f"training images has one; {_REMEDY[sign]}, or choose one of {', '.join(_without(sign))}"
        )


def _without(sign: str) -> list[str]:
    """Methods that can do without marks of a sign."""
    (other,) = _REMEDY.keys() - {sign}
    return [name for name, info in METHODS.items() if info.loss is not None and other in info.loss.uses]
