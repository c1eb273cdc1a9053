"""Classifiers: make one by name, load its weights, find its target layer, choose what learns, export it."""

from lookright.models.export import export_onnx, export_state_dict
from lookright.models.factory import Classifier, create
from lookright.models.layers import TargetLayer, find_target_layer
from lookright.models.listing import describe_backbone, format_backbone, format_backbones, list_backbones
from lookright.models.maps import Layout, to_map
from lookright.models.scope import Scope, apply_scope, find_scope, set_train_mode
from lookright.models.small_cnn import SmallCNN
from lookright.models.stages import find_stages
from lookright.models.trace import Trace, trace
from lookright.models.weights import load_exactly, load_state, read_weights

__all__ = [
    "Classifier",
    "Layout",
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
    "find_stages",
    "find_target_layer",
    "format_backbone",
    "format_backbones",
    "list_backbones",
    "load_exactly",
    "load_state",
    "read_weights",
    "set_train_mode",
    "to_map",
    "trace",
]
