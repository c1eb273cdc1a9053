"""Differentiable explanations: see `base.CAM` for the contract."""

from lookright.explainers.base import CAM
from lookright.explainers.cam import GradCAM

__all__ = ["CAM", "GradCAM"]
