"""Images and annotations: reading them as people have them, checking them, and feeding them to a network."""

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
from lookright.data.collate import collate
from lookright.data.counterexamples import Counterexamples, generator_for
from lookright.data.dataset import ExplanationDataset
from lookright.data.images import load_image
from lookright.data.isolation import Isolation
from lookright.data.masks import load_mask
from lookright.data.readers import read_annotations
from lookright.data.resident import ResidentDataset
from lookright.data.samplers import AnnotatedBatchSampler
from lookright.data.splits import make_splits
from lookright.data.subsets import choose_subsets
from lookright.data.toy import Decoy, write_decoy_digits

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
