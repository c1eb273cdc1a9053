"""Classifiers: make one by name, load its weights, find its target layer, choose what learns, export it."""

from lookright.models.export import export_onnx, export_state_dict
from lookright.models.factory import Classifier, create
from lookright.models.layers import TargetLayer, Trace, find_target_layer, trace
from lookright.models.listing import describe_backbone, format_backbone, format_backbones, list_backbones
from lookright.models.scope import Scope, apply_scope, find_scope, set_train_mode
from lookright.models.small_cnn import SmallCNN
from lookright.models.weights import load_exactly, load_state, read_weights

__all__ = [
    "Classifier",
    "Scope",
    "SmallCNN",
    "TargetLayer",
    "Trace",
    "apply_scope",
    "create",
    "describe_backbone",
    "export_onnx",
    "export_state_dict",
    "find_scope",
    "find_target_layer",
    "format_backbone",
    "format_backbones",
    "list_backbones",
    "load_exactly",
    "load_state",
    "read_weights",
    "set_train_mode",
    "trace",
]
