"""Gradients at the image and at a layer against captum and finite differences."""

from collections.abc import Callable

import pytest
import torch
from captum.attr import InputXGradient as CaptumInputXGradient
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import LayerGradientXActivation, Saliency
from tiny_network import CHANNELS, PARAMETERS, RAW, Tiny, assert_second_order, hooks
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import (
    Explainer,
    InputGradient,
    InputXGradient,
    IntegratedGradients,
    SmoothGrad,
    explain,
    make_explainer,
)
from lookright.models import create
from lookright.types import Explained, Request, Score, Target

KINDS: dict[str, Callable[[nn.Module], Explainer]] = {
    "input gradient": InputGradient,
    "input gradient at a layer": lambda network: InputGradient(network, "target", image_size=8),
    "input x gradient": InputXGradient,
    "input x gradient at a layer": lambda network: InputXGradient(network, "target", image_size=8),
    "integrated gradients": lambda network: IntegratedGradients(network, steps=3),
    "integrated gradients in chunks": lambda network: IntegratedGradients(network, steps=3, chunk=2),
    "smooth grad": lambda network: SmoothGrad(network, samples=3),
}


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().double()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def label() -> Tensor:
    return torch.tensor([0, 2])


def with_graph(forward_fn, inputs, target_ind=None, additional_forward_args=None):
    """Captum's own function of this name, with create_graph."""
    extra = () if additional_forward_args is None else additional_forward_args
    outputs = forward_fn(*inputs, *extra).gather(1, target_ind.view(-1, 1))
    return torch.autograd.grad(outputs.sum(), inputs, create_graph=True)


def by_captum(name: str, network: Tiny, image: Tensor, label: Tensor) -> Tensor:
    image = image.clone().requires_grad_()
    match name:
        case "input gradient":
            saliency = Saliency(network)
            saliency.gradient_func = with_graph
            return saliency.attribute(image, label, abs=False)
        case "input x gradient":
            product = CaptumInputXGradient(network)
            product.gradient_func = with_graph
            return product.attribute(image, label)
        case "input x gradient at a layer":
            at_layer = LayerGradientXActivation(network, network.target)
            return at_layer.attribute(image, label, grad_kwargs={"create_graph": True})
        case "integrated gradients":
            integrated = CaptumIntegratedGradients(network)
            integrated.gradient_func = with_graph
            return integrated.attribute(image, target=label, n_steps=3, method="gausslegendre")
    raise ValueError(name)


@pytest.mark.parametrize(
    "name", ["input gradient", "input x gradient", "input x gradient at a layer", "integrated gradients"]
)
def test_equals_captum_with_its_gradient(name: str, tiny: Tiny, image: Tensor, label: Tensor) -> None:
    ours = KINDS[name](tiny)(image, label, CHANNELS).explanation
    theirs = by_captum(name, tiny, image, label)
    torch.testing.assert_close(ours, theirs)
    parameters = [dict(tiny.named_parameters())[parameter] for parameter in PARAMETERS]
    ours_gradients = torch.autograd.grad(ours.square().sum(), parameters)
    their_gradients = torch.autograd.grad(theirs.square().sum(), parameters)
    for a, b in zip(ours_gradients, their_gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_at_a_layer_is_that_of_the_part_above(tiny: Tiny, image: Tensor, label: Tensor) -> None:
    activation = tiny.activation(image)
    score = tiny.behind(activation).gather(1, label[:, None]).sum()
    (expected,) = torch.autograd.grad(score, activation)
    found = InputGradient(tiny, tiny.target, image_size=8)(image, label, CHANNELS).explanation
    torch.testing.assert_close(found.detach(), expected)


@pytest.mark.parametrize("name", KINDS)
def test_one_map_of_the_channels(name: str, tiny: Tiny, image: Tensor, label: Tensor) -> None:
    explainer = KINDS[name](tiny)
    torch.manual_seed(0)
    channels = explainer(image, label, CHANNELS).explanation
    torch.manual_seed(0)
    found = explainer(image, label, RAW).explanation
    signed = isinstance(explainer, (InputXGradient, IntegratedGradients))
    expected = channels.sum(dim=1) if signed else channels.abs().max(dim=1).values
    assert channels.shape == ((2, 5, 4, 4) if "layer" in name else (2, 3, 8, 8))
    torch.testing.assert_close(found[:, 0], expected)


@pytest.mark.parametrize("name", KINDS)
def test_second_order_gradients_by_finite_differences(
    name: str, tiny: Tiny, image: Tensor, label: Tensor
) -> None:
    explainer = KINDS[name](tiny)

    def explanation() -> Tensor:
        torch.manual_seed(3)
        return explainer(image, label, RAW).explanation

    above = name == "input gradient at a layer"  # linear in the image: weights below count through it
    assert_second_order(tiny, explanation, PARAMETERS[2:] if above else PARAMETERS)


@pytest.mark.parametrize("name", KINDS)
def test_first_order_gives_the_same_map_and_gradients_as_constants(
    name: str, tiny: Tiny, image: Tensor, label: Tensor
) -> None:
    explainer = KINDS[name](tiny)
    torch.manual_seed(0)
    second = explainer(image, label, RAW).explanation
    explainer.second_order = False
    torch.manual_seed(0)
    first = explainer(image, label, RAW).explanation
    torch.testing.assert_close(first, second)
    if not first.requires_grad:
        return
    gradients = torch.autograd.grad(first.sum(), [tiny.head.weight, tiny.above.weight], allow_unused=True)
    assert gradients == (None, None)


@pytest.mark.parametrize("name", KINDS)
def test_no_grad_gives_the_same_map_without_graph(
    name: str, tiny: Tiny, image: Tensor, label: Tensor
) -> None:
    explainer = KINDS[name](tiny)
    torch.manual_seed(0)
    expected = explainer(image, label).explanation
    with torch.no_grad():
        torch.manual_seed(0)
        logits, maps = explainer(image, label)
        assert not torch.is_grad_enabled()
    found = maps[Request()]
    torch.testing.assert_close(found, expected.detach())
    assert expected.requires_grad
    assert not found.requires_grad
    assert not logits.requires_grad
    assert not image.requires_grad
    assert hooks(tiny) == 0
    assert torch.is_grad_enabled()
    assert all(p.grad is None for p in tiny.parameters())


@pytest.mark.parametrize("kind", [IntegratedGradients, SmoothGrad])
def test_extra_passes_disturb_nothing_in_training(kind: type[Explainer]) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(144, 3)).train()

    plain, explained = build(), build()
    explained[1].eval()  # a part that is frozen stays so
    plain[1].eval()
    image, label = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    torch.manual_seed(5)
    logits = plain(image)
    torch.manual_seed(5)
    result = kind(explained)(image, label, RAW)
    torch.testing.assert_close(result.logits, logits)
    for (name, a), b in zip(plain.named_buffers(), explained.named_buffers(), strict=True):
        assert torch.equal(a, b[1]), name
    assert [m.training for m in explained.modules()] == [m.training for m in plain.modules()]

    explained[1].train()
    before = explained[1].num_batches_tracked.item()
    kind(explained)(image, label, RAW).explanation.square().sum().backward()
    assert explained[1].num_batches_tracked.item() == before + 1
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in [explained[0].weight, explained[5].weight]
    )


def test_smooth_grad_is_the_mean_over_noise_of_the_current_generator(
    tiny: Tiny, image: Tensor, label: Tensor
) -> None:
    explainer = SmoothGrad(tiny, samples=5, noise=0.2, chunk=3)
    torch.manual_seed(7)
    found = explainer(image, label, CHANNELS).explanation
    torch.manual_seed(7)
    noise = torch.randn(5, *image.shape, dtype=torch.double)
    width = torch.stack([one.max() - one.min() for one in image]).view(2, 1, 1, 1)
    each = [InputGradient(tiny)(image + 0.2 * width * e, label, CHANNELS).explanation for e in noise]
    torch.testing.assert_close(found, torch.stack(each).mean(dim=0))


def test_smooth_grad_without_noise_is_the_input_gradient(tiny: Tiny, image: Tensor, label: Tensor) -> None:
    found = SmoothGrad(tiny, samples=2, noise=0.0)(image, label).explanation
    torch.testing.assert_close(found, InputGradient(tiny)(image, label).explanation)


def relu_network() -> nn.Module:
    torch.manual_seed(0)
    below = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU()]
    return nn.Sequential(*below, nn.Flatten(), nn.Linear(16 * 13 * 13, 3))


def test_integrated_gradients_state_their_error() -> None:
    """The shares that the docstring gives, and that they shrink with the steps."""
    network = relu_network()
    image, label = torch.randn(16, 3, 32, 32), torch.randint(0, 3, (16,))
    with torch.no_grad():
        difference = (network(image) - network(torch.zeros_like(image))).gather(1, label[:, None])[:, 0]
    for steps, share in ((8, 0.044), (16, 0.018), (32, 0.007)):
        explainer = IntegratedGradients(network, steps=steps)
        error = explainer.completeness_error(image, label)
        assert error.shape == (16,)
        assert (error.mean() / difference.abs().mean()).item() == pytest.approx(share, rel=0.3)
        total = explainer(image, label, CHANNELS).explanation.sum(dim=(1, 2, 3))
        torch.testing.assert_close((total - difference).abs(), error)


@pytest.mark.parametrize("score", Score)
def test_integrated_gradients_are_complete_for_every_score(
    score: Score, tiny: Tiny, image: Tensor, label: Tensor
) -> None:
    """A smooth network: Gauss-Legendre is exact to rounding, but where the runner-up changes on the way."""
    explainer = IntegratedGradients(tiny, steps=24, baseline=(-1.0, 0.5, 0.0))
    error = explainer.completeness_error(image, label, score=score, target=Target.PREDICTED)
    assert error.max() < (1e-2 if score is Score.RUNNER_UP else 1e-8)


def test_integrated_gradients_use_one_extra_pass_or_chunks(tiny: Tiny, image: Tensor, label: Tensor) -> None:
    sizes: list[int] = []
    handle = tiny.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    maps = []
    for chunk, expected in ((None, [2, 10]), (2, [2, 4, 4, 2])):
        sizes.clear()
        maps.append(IntegratedGradients(tiny, steps=5, chunk=chunk)(image, label, RAW).explanation)
        assert sizes == expected
    handle.remove()
    torch.testing.assert_close(*maps)


def test_extra_passes_do_not_change_what_others_see(tiny: Tiny, image: Tensor, label: Tensor) -> None:
    """Two explainers of one call, two scores: the second score must not see the extra pass of the first."""
    scores = (Score.LOGIT, Score.CONTRAST)
    of_path = [Request(score=score, explainer="integrated-gradients") for score in scores]
    of_layer = [Request(score=score, explainer="input-x-gradient") for score in scores]
    path, layer = IntegratedGradients(tiny, steps=3), InputXGradient(tiny, "target", image_size=8)
    together: Explained = explain(
        tiny, image, label, dict.fromkeys(of_path, path) | dict.fromkeys(of_layer, layer)
    )
    for request in of_path:
        torch.testing.assert_close(
            together.explanations[request], path(image, label, request).explanation, msg=str(request)
        )
    for request in of_layer:
        torch.testing.assert_close(together.explanations[request], layer(image, label, request).explanation)


@pytest.mark.parametrize("name", ["small_cnn", "resnet18"])
@pytest.mark.parametrize("kind", [InputGradient, InputXGradient, IntegratedGradients, SmoothGrad])
def test_under_autocast_maps_are_float32(name: str, kind: type[Explainer]) -> None:
    network = create(name, num_classes=2).network
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, maps = kind(network)(torch.rand(2, 3, 32, 32), torch.tensor([0, 1]))
    assert maps[Request()].dtype is torch.float32
    assert logits.dtype is torch.bfloat16
    maps[Request()].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_errors_say_what_to_do(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="looks at the image alone"):
        SmoothGrad(tiny, "target")
    with pytest.raises(ConfigError, match="looks at the image alone"):
        IntegratedGradients(tiny, tiny.target)
    with pytest.raises(ConfigError, match="steps: got 0"):
        IntegratedGradients(tiny, steps=0)
    with pytest.raises(ConfigError, match="chunk: got 0"):
        SmoothGrad(tiny, chunk=0)
    with pytest.raises(ConfigError, match="samples: got 0"):
        SmoothGrad(tiny, samples=0)
    with pytest.raises(ConfigError, match="noise: got -1"):
        SmoothGrad(tiny, noise=-1.0)
    with pytest.raises(ConfigError, match="noise: got nan"):
        SmoothGrad(tiny, noise=float("nan"))
    with pytest.raises(ConfigError, match="baseline: got nan, need finite"):
        IntegratedGradients(tiny, baseline=float("nan"))
    with pytest.raises(ConfigError, match="baseline: got 2 values"):
        IntegratedGradients(tiny, baseline=(0.0, 1.0))
    with pytest.raises(ConfigError, match="not part of the network"):
        InputGradient(tiny, nn.Conv2d(3, 3, 1))


def test_made_by_name_with_options(tiny: Tiny) -> None:
    path = make_explainer("integrated-gradients(steps=4, baseline=[-1, 0.5, 0], chunk=2)", tiny)
    assert isinstance(path, IntegratedGradients)
    assert (path.steps, path.baseline.flatten().tolist(), path.chunk) == (4, [-1, 0.5, 0], 2)
    noisy = make_explainer("smooth-grad(samples=3, noise=0.2)", tiny)
    assert isinstance(noisy, SmoothGrad)
    assert (noisy.samples, noisy.noise) == (3, 0.2)
    assert make_explainer("input-gradient", tiny).needs.whole_network
    at_layer = make_explainer("input-gradient", tiny, "target", image_size=8)
    assert not at_layer.needs.whole_network
    assert at_layer.layer_names == ("target",)
