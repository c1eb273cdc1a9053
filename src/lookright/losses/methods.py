"""The methods that the command line knows by name, each a recipe of explanation losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from lookright.losses.activation import TAP
from lookright.losses.base import ExplanationLoss
from lookright.losses.bounds import R4, IBPEx
from lookright.losses.decomposition import CDEP
from lookright.losses.gradient import RRR, GALSMatch, GALSSuppress
from lookright.losses.outside import RRRG, Evidence, RRRStar
from lookright.losses.overlap import Energy, SoftIoU
from lookright.losses.pointwise import HAICS, HINT, L1, PPCE
from lookright.losses.pyramid import Harmonization
from lookright.losses.recipes import (
    Recipe,
    evidence,
    evidence_terms,
    no_loss,
    nothing,
    one,
    overlap_terms,
    res_g,
    res_l,
    res_with_gaussian_imputer,
    res_with_learned_imputer,
    soft_iou,
    tap,
    tap_terms,
)
from lookright.losses.relevance import RobustViT
from lookright.losses.res import RES
from lookright.losses.tradeoff import CYBORG, GRADIA


@dataclass(frozen=True)
class MethodInfo:
    """A method that has a name."""

    name: str
    summary: str
    loss: type[ExplanationLoss] | None
    """the loss that it is about; None where explanations are not supervised"""
    recipe: Recipe
    _: KW_ONLY
    changes: Literal["batches", "features", "annotations", "views"] | None = None
    """what it changes, where it is no loss: batches get copies (`data.Counterexamples`), features of images
    are exchanged (`engine.exchange.BackgroundExchange`), annotations are completed
    (`engine.completion.Completion`), images are isolated (`data.Isolation`)"""
    sum: str = ""
    """what it is another name for"""
    takes: Callable[..., object] | None = None
    """what its options in parentheses are given to; None: the loss itself"""


_RECOMMENDED = "complete + isolate + evidence + 3*soft-iou(score=logit, images=100)"

METHODS: dict[str, MethodInfo] = {
    info.name: info
    for info in (
        MethodInfo("baseline", "the prediction loss alone: explanations are not supervised", None, nothing),
        MethodInfo(
            "auto",
            "what we recommend: complete annotations, isolate images, penalise evidence outside, fit the map",
            None,
            no_loss,
            sum=_RECOMMENDED,
        ),
        MethodInfo(
            "lookright", "what auto is today: auto may improve, this stays", None, no_loss, sum=_RECOMMENDED
        ),
        MethodInfo("gradia", "L1 distance between explanation and positive marks", GRADIA, one(GRADIA)),
        MethodInfo("haics", "binary cross-entropy on the marked cells", HAICS, one(HAICS)),
        MethodInfo(
            "res-g",
            "slack, adaptive threshold, Gaussian imputer",
            RES,
            res_g,
            takes=res_with_gaussian_imputer,
        ),
        MethodInfo(
            "res-l",
            "slack, adaptive threshold, learned imputer (s1, s2, d1, d2)",
            RES,
            res_l,
            takes=res_with_learned_imputer,
        ),
        MethodInfo(
            "evidence",
            "squared evidence of the decision outside the annotation",
            Evidence,
            evidence,
            takes=evidence_terms,
        ),
        MethodInfo(
            "soft-iou",
            "one minus the soft overlap of explanation and positive marks",
            SoftIoU,
            soft_iou,
            takes=overlap_terms,
        ),
        MethodInfo(
            "cyborg",
            "squared distance to a graded map, in exchange for the prediction",
            CYBORG,
            one(CYBORG),
        ),
        MethodInfo("hint", "squared distance between explanation and positive marks", HINT, one(HINT)),
        MethodInfo("energy", "share of the positive energy off the positive marks", Energy, one(Energy)),
        MethodInfo("l1", "L1 distance between positive explanation and positive marks", L1, one(L1)),
        MethodInfo("ppce", "cross-entropy of the explanation on the positive marks", PPCE, one(PPCE)),
        MethodInfo("rrr-star", "squared explanation off the positive marks", RRRStar, one(RRRStar)),
        MethodInfo("rrr-g", "squared explanation at the negative marks", RRRG, one(RRRG)),
        MethodInfo("rrr", "squared input gradient at the negative marks", RRR, one(RRR)),
        MethodInfo(
            "gals-suppress",
            "absolute input gradient outside the positive marks",
            GALSSuppress,
            one(GALSSuppress),
        ),
        MethodInfo(
            "gals-match",
            "distance of the input gradient from 1 at the positive marks",
            GALSMatch,
            one(GALSMatch),
        ),
        MethodInfo(
            "tap", "squared activations at the negative marks, in all stages", TAP, tap, takes=tap_terms
        ),
        MethodInfo(
            "harmonization",
            "distance between input gradient and graded map at several scales",
            Harmonization,
            one(Harmonization),
        ),
        MethodInfo("cdep", "share of the logits that comes from the negative marks", CDEP, one(CDEP)),
        MethodInfo(
            "robust-vit",
            "squared distance between a transformer's relevance and the positive marks",
            RobustViT,
            one(RobustViT),
        ),
        MethodInfo("r4", "bound of the input gradient around the negative marks", R4, one(R4)),
        MethodInfo("ibp-ex", "cross-entropy of the worst case over the negative marks", IBPEx, one(IBPEx)),
        MethodInfo(
            "ce",
            "counterexamples: copies of the images whose negative marks are random",
            None,
            no_loss,
            changes="batches",
        ),
        MethodInfo(
            "exchange",
            "features outside the annotation change places between images",
            None,
            no_loss,
            changes="features",
        ),
        MethodInfo(
            "complete",
            "annotations are completed from features, before training",
            None,
            no_loss,
            changes="annotations",
        ),
        MethodInfo(
            "isolate",
            "what lies outside the annotation is replaced in the image, now and then",
            None,
            no_loss,
            changes="views",
        ),
    )
}
"""name -> method"""
