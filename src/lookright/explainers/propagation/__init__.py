"""A pair of tensors through a network's own forward pass: contextual decomposition and interval bounds."""

from lookright.explainers.propagation.bounds import output_bounds
from lookright.explainers.propagation.decomposition import contextual_decomposition
from lookright.explainers.propagation.gradient_bounds import input_gradient_bounds, loss_gradient_bounds

__all__ = ["contextual_decomposition", "input_gradient_bounds", "loss_gradient_bounds", "output_bounds"]
