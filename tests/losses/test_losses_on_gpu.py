"""On a GPU every loss has the CPU's value and gradient, of an explanation and through a network."""

from copy import deepcopy

import torch
from test_contract import IMAGES, LOSSES, SIZE, every_loss, explanations, given, network_for
from torch import Tensor

from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.losses import ExplanationLoss, Objective, Term
from lookright.types import Batch


@every_loss
def test_same_value_and_gradient_as_on_the_cpu(name: str, gpu: torch.device) -> None:
    torch.manual_seed(0)
    loss = LOSSES[name]().double()
    beside, explanation = given(), explanations(loss).double().detach()

    def value_and_gradient(loss: ExplanationLoss, device: torch.device) -> tuple[Tensor, Tensor]:
        there = beside._replace(
            **{
                part: value.to(device, torch.float64 if value.is_floating_point() else value.dtype)
                for part, value in beside._asdict().items()
            }
        )
        given_map = explanation.to(device).requires_grad_()
        value = there.value(loss, given_map)
        (gradient,) = torch.autograd.grad(value, given_map)
        return value.detach().cpu(), gradient.cpu()

    expected = value_and_gradient(loss, torch.device("cpu"))
    on_gpu = value_and_gradient(deepcopy(loss).to(gpu), gpu)
    torch.testing.assert_close(on_gpu, expected, rtol=1e-4, atol=1e-6)  # losses are float32


@every_loss
def test_same_step_as_on_the_cpu(name: str, gpu: torch.device) -> None:
    torch.manual_seed(0)
    loss, beside = LOSSES[name](), given()
    network, layer = network_for(loss)

    def gradients(device: torch.device) -> list[Tensor]:
        here, ours = deepcopy(network).to(device), deepcopy(loss).to(device)
        objective = Objective([Term(ours, 2.0)]).to(device)
        model = SupervisedModel(here, GradCAM(here, layer, image_size=SIZE), objective)
        flags = torch.ones(IMAGES, dtype=torch.bool)
        parts = (part.to(device) for part in (beside.image, beside.label, beside.annotation, flags))
        total = model(Batch(*parts, ())).total
        return [g.cpu() for g in torch.autograd.grad(total, list(here.parameters()), allow_unused=False)]

    torch.testing.assert_close(gradients(gpu), gradients(torch.device("cpu")), rtol=1e-2, atol=1e-4)
