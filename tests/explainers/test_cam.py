"""Explanations against captum and finite differences, and the traps of the field, one by one."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from tiny_network import PARAMETERS, RAW, Tiny, assert_second_order, hooks
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.errors import ConfigError
from lookright.explainers import (
    CAM,
    ClassActivationMap,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    InputXGradient,
    LayerCAM,
    XGradCAM,
)
from lookright.models import create
from lookright.types import Normalization, Request, Score, Target

SIZE = 64
RULES = {  # of activation and gradient (B, C, h, w), as the papers have them
    GradCAM: lambda a, g: mean(g) * a,
    GradCAMPlusPlus: lambda a, g: (
        total(g**2 / (2 * g**2 + g**3 * np.maximum(total(a), 0)) * np.maximum(g, 0)) * a
    ),
    HiResCAM: lambda a, g: g * a,
    LayerCAM: lambda a, g: np.maximum(g, 0) * a,
    XGradCAM: lambda a, g: total(a / total(a) * g) * a,
}


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=(2, 3), keepdims=True)


def mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(2, 3), keepdims=True)


def pooled() -> nn.Sequential:
    """A convolution with ReLU, and behind it global average pooling and a linear head."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().double()


def networks() -> dict[str, Callable[[], nn.Module]]:
    return {
        "timm resnet18": lambda: create("resnet18", num_classes=3).network,
        "timm mobilenetv3_small_050": lambda: create("mobilenetv3_small_050", num_classes=3).network,
        "timm tf_efficientnet_lite0": lambda: create("tf_efficientnet_lite0", num_classes=3).network,
        "torchvision densenet121": lambda: torchvision.models.densenet121(num_classes=3),
    }


@pytest.mark.parametrize("name", networks())
def test_equals_captum_with_its_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = networks()[name]().eval()
    image, label = torch.rand(2, 3, SIZE, SIZE), torch.tensor([0, 2])
    explain = GradCAM(network, image_size=SIZE)
    ours = explain(image, label, RAW).explanation

    captum = LayerGradCam(network, explain.layer.module)
    theirs = captum.attribute(image, label, grad_kwargs={"create_graph": True})
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)

    parameters = [p for p in network.parameters() if p.ndim >= 2]
    ours_gradients = torch.autograd.grad(ours.square().sum(), parameters)
    their_gradients = torch.autograd.grad(theirs.square().sum(), parameters)
    for a, b in zip(ours_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("kind", RULES)
def test_equals_the_formula(tiny: Tiny, kind: type[CAM]) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    with torch.no_grad():
        tiny.target.bias.add_(1)  # sums of the activation well away from 0
    activation = tiny.activation(image).detach().requires_grad_()
    score = tiny.behind(activation).gather(1, label[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, activation)
    expected = RULES[kind](activation.detach().numpy(), gradient.numpy()).sum(axis=1, keepdims=True)
    found = kind(tiny, tiny.target)(image, label, RAW).explanation
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("request_", [RAW, Request()], ids=["raw", "min-max"])
@pytest.mark.parametrize("kind", RULES)
def test_second_order_gradients_by_finite_differences(tiny: Tiny, kind: type[CAM], request_: Request) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    explain = kind(tiny, tiny.target)
    assert_second_order(tiny, lambda: explain(image, label, request_).explanation, PARAMETERS)


@pytest.mark.parametrize("kind", RULES)
def test_dead_channels_give_finite_gradients(kind: type[CAM]) -> None:
    """A channel that is zero everywhere has a zero in every denominator."""
    network = pooled().double()
    with torch.no_grad():
        network[0].bias[0] = -100
    image = torch.rand(2, 3, 8, 8, dtype=torch.double)
    explanation = kind(network, network[1])(image, torch.tensor([0, 1]), RAW).explanation
    gradients = torch.autograd.grad(explanation.square().sum(), [*network.parameters()], allow_unused=True)
    assert all(g.isfinite().all() for g in gradients if g is not None)


def test_grad_cam_plus_plus_by_third_derivatives() -> None:
    """The closed form against the definition: derivatives of exp(logit) by automatic differentiation."""
    torch.manual_seed(0)
    network, image = pooled().double(), torch.rand(1, 3, 4, 4, dtype=torch.double)
    activation = network[:2](image).detach()
    score = network[2:](activation)[0, 1].item()
    weights = torch.zeros(activation.shape[1], dtype=torch.double)
    for k, i, j in np.ndindex(*activation.shape[1:]):
        cell = activation[0, k, i, j].clone().requires_grad_()
        value = torch.zeros_like(activation)
        value[0, k, i, j] = 1
        y = network[2:](activation + value * (cell - cell.detach()))[0, 1].exp()
        (first,) = torch.autograd.grad(y, cell, create_graph=True)
        (second,) = torch.autograd.grad(first, cell, create_graph=True)
        (third,) = torch.autograd.grad(second, cell)
        alpha = second / (2 * second + activation[0, k].sum() * third)
        weights[k] += (alpha * first.relu()).item() / np.exp(score)
    expected = (weights[:, None, None] * activation[0]).sum(dim=0)
    found = GradCAMPlusPlus(network, network[1])(image, torch.tensor([1]), RAW).explanation
    torch.testing.assert_close(found[0, 0].detach(), expected)


def test_what_the_methods_have_in_common(tiny: Tiny) -> None:
    """The identities that the docstrings state."""
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    hires = HiResCAM(tiny, tiny.target)(image, label, RAW).explanation
    torch.testing.assert_close(InputXGradient(tiny, tiny.target)(image, label, RAW).explanation, hires)
    xgrad = XGradCAM(tiny, tiny.target)(image, label, RAW).explanation
    torch.testing.assert_close(xgrad.sum(dim=(1, 2, 3)), hires.sum(dim=(1, 2, 3)), rtol=1e-4, atol=1e-6)
    network = pooled().double()
    maps = [kind(network, network[1])(image, label % 2, RAW).explanation for kind in (HiResCAM, GradCAM)]
    torch.testing.assert_close(*maps)


def test_cam_is_the_head_applied_to_every_cell() -> None:
    torch.manual_seed(0)
    network = create("small_cnn", num_classes=3).network.eval()
    image, label = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
    logits, maps = ClassActivationMap(network, image_size=32)(image, label, RAW)
    expected = torch.einsum("bc,bchw->bhw", network.head.weight[label], network.features(image))[:, None]
    torch.testing.assert_close(maps[RAW], expected)
    without_bias = logits.gather(1, label[:, None])[:, 0] - network.head.bias[label]
    torch.testing.assert_close(maps[RAW].mean(dim=(1, 2, 3)), without_bias)
    grad_cam = GradCAM(network, image_size=32)(image, label, RAW).explanation
    torch.testing.assert_close(maps[RAW], 64 * grad_cam)
    ours = torch.autograd.grad(maps[RAW].square().sum(), network.head.weight)[0]
    theirs = torch.autograd.grad(expected.square().sum(), network.head.weight)[0]
    torch.testing.assert_close(ours, theirs)


BEHIND = {
    "activation": [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)],
    "hidden layer": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 2)],
    "max pooling": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)],
    "no pooling": [nn.Flatten(), nn.Linear(144, 2)],
}


@pytest.mark.parametrize("behind", BEHIND)
def test_cam_refuses_other_heads(behind: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *BEHIND[behind]).train()
    state = torch.random.get_rng_state()
    with pytest.raises(ConfigError, match="use grad-cam"):
        ClassActivationMap(network, "0", image_size=8)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.training
    assert hooks(network) == 0


def test_first_order_is_the_map_with_detached_weights(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    ours = GradCAM(tiny, tiny.target, second_order=False)(image, label, RAW).explanation
    ours_gradients = torch.autograd.grad(ours.square().sum(), list(tiny.parameters()), allow_unused=True)

    activation = tiny.target(torch.tanh(tiny.below(image)))
    logits = tiny.head(torch.tanh(tiny.above(torch.tanh(activation).mean(dim=(2, 3)))))
    (slope,) = torch.autograd.grad(logits.gather(1, label[:, None]).sum(), activation, retain_graph=True)
    reference = (slope.mean(dim=(2, 3), keepdim=True).detach() * activation).sum(dim=1, keepdim=True)
    expected = torch.autograd.grad(reference.square().sum(), list(tiny.parameters()), allow_unused=True)
    for (name, _), a, b in zip(tiny.named_parameters(), ours_gradients, expected, strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_trap_1_without_second_order_the_layers_above_get_nothing(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    for second_order in (True, False):
        explain = GradCAM(tiny, tiny.target, second_order=second_order)
        loss = explain(image, label, RAW).explanation.square().sum()
        gradients = torch.autograd.grad(loss, [tiny.above.weight, tiny.head.weight], allow_unused=True)
        assert all((g is not None) == second_order for g in gradients)


def test_trap_3_one_forward_pass_leaves_batchnorm_as_plain_training_does() -> None:
    torch.manual_seed(0)
    image, label = torch.rand(4, 3, SIZE, SIZE), torch.tensor([0, 1, 2, 0])
    plain, explained = (create("resnet18", num_classes=3).network.train() for _ in range(2))
    explained.load_state_dict(plain.state_dict())
    logits = plain(image)
    torch.testing.assert_close(GradCAM(explained, image_size=SIZE)(image, label, RAW).logits, logits)
    for (name, a), b in zip(plain.named_buffers(), explained.buffers(), strict=True):
        assert torch.equal(a, b), name


def test_trap_4_an_in_place_relu_behind_the_layer_does_not_change_the_map() -> None:
    torch.manual_seed(0)

    def build(inplace: bool) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(inplace=inplace),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 2),
        )

    safe, inplace = build(False), build(True)
    inplace.load_state_dict(safe.state_dict())
    image, label = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    a = GradCAM(safe, safe[0])(image, label, RAW).explanation
    b = GradCAM(inplace, inplace[0])(image, label, RAW).explanation
    assert torch.equal(a, b)
    assert (a != 0).any()


def test_trap_5_no_hook_stays(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    GradCAM(tiny, tiny.target)(image, label)
    assert hooks(tiny) == 0

    with pytest.raises(ConfigError, match="not a map"):
        GradCAM(tiny, tiny.head)(image, label)
    assert hooks(tiny) == 0

    class Breaks(Tiny):
        broken = False

        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            if self.broken:
                raise RuntimeError("broken")
            return logits

    broken = Breaks().double()
    explain = GradCAM(broken, broken.target)
    broken.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        explain(image, label)
    assert hooks(broken) == 0
    assert torch.is_grad_enabled()


def test_grad_mode_is_restored(tiny: Tiny) -> None:
    image = torch.rand(2, 3, 8, 8, dtype=torch.double)
    request = Request(target=Target.PREDICTED)
    with torch.no_grad():
        logits, maps = GradCAM(tiny, tiny.target)(image, None, request)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert not logits.requires_grad
    assert not maps[request].requires_grad


def test_no_grad_gives_the_same_map(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    explain = GradCAM(tiny, tiny.target)
    with torch.no_grad():
        without = explain(image, label).explanation
    assert torch.equal(without, explain(image, label).explanation.detach())


def test_a_frozen_network_still_explains(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    expected = GradCAM(tiny, tiny.target)(image, label).explanation
    for parameter in [*tiny.below.parameters(), *tiny.target.parameters()]:
        parameter.requires_grad_(False)
    explanation = GradCAM(tiny, tiny.target)(image, label).explanation
    torch.testing.assert_close(explanation, expected)
    explanation.sum().backward()
    assert tiny.head.weight.grad is not None


@pytest.mark.parametrize("layer", [nn.Hardsigmoid(), nn.Hardsigmoid(inplace=True)])
def test_trap_8_hardsigmoid_above_the_layer(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    explanation = GradCAM(network, network[0])(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), RAW).explanation
    explanation.square().sum().backward()
    assert network[4].weight.grad.abs().sum() > 0


def test_trap_8_fused_attention_above_the_layer() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.conv(x).flatten(2).transpose(1, 2)
            return self.head(F.scaled_dot_product_attention(tokens, tokens, tokens).mean(dim=1))

    network = Attention()
    explanation = GradCAM(network, network.conv)(
        torch.rand(2, 3, 16, 16), torch.tensor([0, 1]), RAW
    ).explanation
    explanation.square().sum().backward()
    assert network.head.weight.grad.abs().sum() > 0


def test_scores_share_the_pass_and_differ_as_they_should(tiny: Tiny) -> None:
    image, label = torch.rand(2, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2])
    contrast = Request(score=Score.CONTRAST, normalization=Normalization.NONE)
    maps = GradCAM(tiny, tiny.target)(image, label, RAW, contrast).explanations
    each = [GradCAM(tiny, tiny.target)(image, torch.full((2,), k), RAW).explanation for k in range(3)]
    for i, true in enumerate(label):
        others = torch.stack([each[k][i] for k in range(3) if k != true]).mean(dim=0)
        torch.testing.assert_close(maps[contrast][i], each[true][i] - others)


def test_class_activation_map_sums_to_the_logit() -> None:
    """Global average pooling and a linear head: the map sums to the logit minus its bias."""
    torch.manual_seed(0)
    network = create("resnet18", num_classes=3).network.eval()
    label = torch.tensor([0, 2])
    logits, maps = GradCAM(network, image_size=SIZE)(torch.rand(2, 3, SIZE, SIZE), label, RAW)
    total = maps[RAW].sum(dim=(1, 2, 3))
    torch.testing.assert_close(
        total, logits.gather(1, label[:, None])[:, 0] - network.fc.bias[label], atol=1e-5, rtol=1e-4
    )


def test_per_image_results_do_not_depend_on_the_batch(tiny: Tiny) -> None:
    image, label = torch.rand(4, 3, 8, 8, dtype=torch.double), torch.tensor([0, 2, 1, 1])
    explain = GradCAM(tiny, tiny.target)
    together = explain(image, label).explanation
    alone = torch.cat([explain(image[i : i + 1], label[i : i + 1]).explanation for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_autocast_maps_are_float32() -> None:
    network = create("resnet18", num_classes=2).network
    explain = GradCAM(network, image_size=SIZE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, maps = explain(torch.rand(2, 3, SIZE, SIZE), torch.tensor([0, 1]))
    explanation = maps[Request()]
    assert explanation.dtype is torch.float32
    assert logits.dtype is torch.bfloat16
    explanation.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_errors_say_what_to_do(tiny: Tiny) -> None:
    image = torch.rand(2, 3, 8, 8, dtype=torch.double)
    explain = GradCAM(tiny, tiny.target)
    with pytest.raises(ConfigError, match="pass labels"):
        explain(image)
    with pytest.raises(ConfigError, match=r"torch\.no_grad"), torch.inference_mode():
        explain(image, torch.tensor([0, 1]))
    with pytest.raises(ConfigError, match="not part of the network"):
        GradCAM(tiny, nn.Conv2d(3, 3, 1))
    unused = Tiny().double()
    unused.extra = nn.Conv2d(3, 3, 1)
    with pytest.raises(ConfigError, match="does not run"):
        GradCAM(unused, unused.extra)(image, torch.tensor([0, 1]))

    class Unconnected(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            self.target(self.below(x))
            return self.head(x.mean(dim=(2, 3)) @ torch.ones(3, 6, dtype=x.dtype))

    loose = Unconnected().double()
    with pytest.raises(ConfigError, match="do not depend"):
        GradCAM(loose, loose.target)(image, torch.tensor([0, 1]))
    one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)).double()
    with pytest.raises(ConfigError, match="compares classes"):
        GradCAM(one, one[0])(image, torch.tensor([0, 0]), Request(score=Score.CONTRAST))


def test_trap_7_a_compiled_trunk_gives_the_same_gradients() -> None:
    """The whole supervised step cannot be compiled (no double backward); what lies below the layer can."""

    def gradients(compiled: bool) -> list[Tensor]:
        torch.manual_seed(0)
        network = create("small_cnn", num_classes=3).network.eval()
        explain = GradCAM(network, image_size=32)
        below = next(module for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
        assert below is not explain.layer
        if compiled:
            below.compile(backend="aot_eager")
        image, label = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
        logits, maps = explain(image, label)
        loss = F.cross_entropy(logits, label) + maps[Request()].square().mean()
        return list(torch.autograd.grad(loss, list(network.parameters())))

    for plain, compiled in zip(gradients(compiled=False), gradients(compiled=True), strict=True):
        torch.testing.assert_close(plain, compiled)
