"""Whether the training images have the marks that a method uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lookright.data import Counterexamples, Isolation
from lookright.data.stream import Images, ShardedDataset
from lookright.engine.completion import Completion
from lookright.engine.exchange import BackgroundExchange
from lookright.errors import ConfigError
from lookright.losses import METHODS, ExplanationLoss

Supervision = ExplanationLoss | Counterexamples | BackgroundExchange | Completion | Isolation
"""What uses annotations."""

_REMEDY = {
    "positive": "mark where the evidence is",
    "negative": "mark where no evidence may be, give --negatives-outside 0.05",
}


def check_annotations(method: str, supervision: Sequence[Supervision], train: Images) -> None:
    """Refuse a method whose annotation is missing from the training images.

    Marks are drawn image by image, at the size of training, until all that is needed is found. Those of
    shards were counted when they were packed.

    Args:
        method: as the user wrote it
        supervision: what uses annotations
        train: the training images

    Raises:
        ConfigError: no image is annotated, or none has a mark of the only sign that something uses.
    """
    if not supervision:
        return
    if not train.annotated_images:
        raise ConfigError(
            f"method: {method} needs annotations, and none of the {len(train)} training images has "
            "one; add masks, give --annotations, or use --method baseline"
        )
    missing: dict[str, str] = {}
    for part in supervision:
        signs = [sign for sign in _REMEDY if sign in part.uses]
        if len(signs) == 1:
            missing[signs[0]] = type(part).__name__
    if missing:
        for sign in _find_signs(train, set(missing)):
            del missing[sign]
    for sign, name in missing.items():
        raise ConfigError(
            f"method: {method} uses {sign} marks alone ({name}), and none of the {train.annotated_images} "
            f"annotated training images has one; {_REMEDY[sign]}, or choose one of "
            f"{', '.join(_without(sign))}"
        )


def _find_signs(train: Images, wanted: set[str]) -> set[str]:
    """Which of the signs some training image has."""
    if isinstance(train, ShardedDataset):
        negatives = train.negative_images
        if train.negatives_outside is not None:
            negatives += train.positive_images
        counts = {"positive": train.positive_images, "negative": negatives}
        return {sign for sign in wanted if counts[sign]}
    found: set[str] = set()
    for index, has in enumerate(train.annotated):
        if wanted <= found:
            break
        if has:
            sample = train.sample(index, mirrored=False)
            marks = torch.stack([sample.annotation, *(annotation for _, annotation in sample.annotations)])
            found |= {
                sign
                for sign, there in (("positive", marks > 0), ("negative", marks < 0))
                if bool(there.any())
            }
    return wanted & found


def _without(sign: str) -> list[str]:
    """Methods that can do without marks of a sign."""
    (other,) = _REMEDY.keys() - {sign}
    return [name for name, info in METHODS.items() if info.loss is not None and other in info.loss.uses]
