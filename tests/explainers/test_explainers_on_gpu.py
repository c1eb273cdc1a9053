"""On a GPU every explainer gives the CPU's explanation, and the CPU's gradients of a loss on it."""

import pytest
import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, make_explainer
from lookright.types import Normalization, Request
from matrix import OWN_SHAPES
from networks import FAMILIES, IMAGE_SIZE


def explained(network: nn.Module, name: str, device: torch.device) -> tuple[Tensor, list[Tensor | None]]:
    """Explain two images in second order; the explanation, and the gradient of each weight."""
    torch.manual_seed(0)
    image = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE).double().to(device)
    region = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.bool, device=device)
    region[..., :16] = True
    network = network.double().to(device)
    explainer = make_explainer(name, network, second_order=True, image_size=IMAGE_SIZE)
    request = Request(normalization=Normalization.NONE, channels=name in OWN_SHAPES)
    explanation = explainer(image, torch.tensor([0, 2], device=device), request, region=region).explanation
    weights = list(network.parameters())
    gradients = torch.autograd.grad(explanation.square().mean(), weights, allow_unused=True)
    return explanation.detach(), list(gradients)


@pytest.mark.parametrize("family", ["timm resnet", "timm tf_efficientnet_lite", "timm vit", "own"])
@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name != "smooth-grad"])  # its noise differs
def test_same_explanation_and_gradients_as_on_the_cpu(name: str, family: str, gpu: torch.device) -> None:
    try:
        expected, gradients = explained(FAMILIES[family](), name, torch.device("cpu"))
    except ConfigError:
        pytest.skip(f"{name} does not fit {family}: docs/matrix.md")
    explanation, on_gpu = explained(FAMILIES[family](), name, gpu)
    assert explanation.device.type == gpu.type
    torch.testing.assert_close(explanation.cpu(), expected, rtol=1e-8, atol=1e-10)
    assert [g is None for g in on_gpu] == [g is None for g in gradients]
    for ours, theirs in zip(on_gpu, gradients, strict=True):
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-7, atol=1e-10)
