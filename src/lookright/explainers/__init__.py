"""Differentiable explanations: see `base.Explainer` for the contract, `base.CAM` for its short form."""

from lookright.explainers.activation import Activation
from lookright.explainers.base import CAM, Explainer, LayerExplainer
from lookright.explainers.cam import (
    ClassActivationMap,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from lookright.explainers.cell_evidence import CellEvidence
from lookright.explainers.explain import explain
from lookright.explainers.gradient import InputGradient, InputXGradient
from lookright.explainers.gradient_path import IntegratedGradients, SmoothGrad
from lookright.explainers.region import ContextualDecomposition, InputGradientBounds, OutputBounds
from lookright.explainers.registry import EXPLAINERS, explainers_for, make_explainer
from lookright.explainers.seen import Needs, Seen
from lookright.explainers.transformer import AttentionRelevance, AttentionRollout

__all__ = [
    "CAM",
    "EXPLAINERS",
    "Activation",
    "AttentionRelevance",
    "AttentionRollout",
    "CellEvidence",
    "ClassActivationMap",
    "ContextualDecomposition",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "InputGradient",
    "InputGradientBounds",
    "InputXGradient",
    "IntegratedGradients",
    "LayerCAM",
    "LayerExplainer",
    "Needs",
    "OutputBounds",
    "Seen",
    "SmoothGrad",
    "XGradCAM",
    "explain",
    "explainers_for",
    "make_explainer",
]
