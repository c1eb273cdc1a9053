"""Images and annotations: reading them as people have them, checking them, and feeding them to a network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookright.data.annotations import (
    AnnotationSet,
    Item,
    Marks,
    MaskFiles,
    Matrix,
    Problem,
    Shapes,
    SignedMask,
)
from lookright.data.annotators import Annotators, Combination
from lookright.data.check import check
from lookright.data.check_report import CheckReport, format_report
from lookright.data.images import load_image
from lookright.data.isolation import Isolation
from lookright.data.masks import load_mask
from lookright.data.readers import read_annotations
from lookright.data.splits import make_splits
from lookright.data.subsets import choose_subsets
from lookright.data.toy import Decoy, write_decoy_digits

if TYPE_CHECKING:
    from lookright.data.batch import collate
    from lookright.data.counterexamples import Counterexamples, generator_for
    from lookright.data.dataset import ExplanationDataset
    from lookright.data.resident import ResidentDataset
    from lookright.data.samplers import AnnotatedBatchSampler

__all__ = [
    "AnnotatedBatchSampler",
    "AnnotationSet",
    "Annotators",
    "CheckReport",
    "Combination",
    "Counterexamples",
    "Decoy",
    "ExplanationDataset",
    "Isolation",
    "Item",
    "Marks",
    "MaskFiles",
    "Matrix",
    "Problem",
    "ResidentDataset",
    "Shapes",
    "SignedMask",
    "check",
    "choose_subsets",
    "collate",
    "format_report",
    "generator_for",
    "load_image",
    "load_mask",
    "make_splits",
    "read_annotations",
    "write_decoy_digits",
]

_WITH_TORCH = {
    "AnnotatedBatchSampler": "samplers",
    "Counterexamples": "counterexamples",
    "ExplanationDataset": "dataset",
    "ResidentDataset": "resident",
    "collate": "batch",
    "generator_for": "counterexamples",
}
"""name -> module. Importing torch takes seconds, and reading a data folder needs none of it."""

if not TYPE_CHECKING:  # or a name that is none would be any type

    def __getattr__(name: str) -> Any:
        if name in _WITH_TORCH:
            return getattr(import_module(f"lookright.data.{_WITH_TORCH[name]}"), name)
        raise AttributeError(f"module 'lookright.data' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
