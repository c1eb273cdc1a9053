"""Explanation losses: see `base.ExplanationLoss` for the contract, `methods.METHODS` for the table."""

from lookright.losses.activation import TAP
from lookright.losses.base import ExplanationLoss, LossInputs, LossResult
from lookright.losses.bounds import R4, IBPEx
from lookright.losses.build import build_objective, parse_method, spell_out
from lookright.losses.decomposition import CDEP
from lookright.losses.gradient import RRR, GALSMatch, GALSSuppress
from lookright.losses.imputers import (
    AsDrawn,
    GaussianImputer,
    Imputer,
    LearnedImputer,
    deep_imputer,
    shallow_imputer,
)
from lookright.losses.methods import METHODS, MethodInfo
from lookright.losses.objective import Objective, ObjectiveResult, Term
from lookright.losses.outside import RRRG, Evidence, Outside, RRRStar
from lookright.losses.overlap import Energy, SoftIoU
from lookright.losses.pointwise import HAICS, HINT, L1, PPCE, Pointwise
from lookright.losses.pyramid import Harmonization
from lookright.losses.relevance import RobustViT
from lookright.losses.res import RES
from lookright.losses.threshold import adaptive_threshold
from lookright.losses.tradeoff import CYBORG, GRADIA

__all__ = [
    "CDEP",
    "CYBORG",
    "GRADIA",
    "HAICS",
    "HINT",
    "L1",
    "METHODS",
    "PPCE",
    "R4",
    "RES",
    "RRR",
    "RRRG",
    "TAP",
    "AsDrawn",
    "Energy",
    "Evidence",
    "ExplanationLoss",
    "GALSMatch",
    "GALSSuppress",
    "GaussianImputer",
    "Harmonization",
    "IBPEx",
    "Imputer",
    "LearnedImputer",
    "LossInputs",
    "LossResult",
    "MethodInfo",
    "Objective",
    "ObjectiveResult",
    "Outside",
    "Pointwise",
    "RRRStar",
    "RobustViT",
    "SoftIoU",
    "Term",
    "adaptive_threshold",
    "build_objective",
    "deep_imputer",
    "parse_method",
    "shallow_imputer",
    "spell_out",
]
