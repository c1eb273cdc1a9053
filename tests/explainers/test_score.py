"""What is explained: scores against NumPy, targets, rows, and one pass shared by all that ask."""

import numpy as np
import pytest
import torch
from tiny_network import Tiny, hooks
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import (
    Activation,
    Explainer,
    GradCAM,
    InputGradient,
    InputXGradient,
    IntegratedGradients,
    Needs,
    Seen,
    explain,
)
from lookright.explainers.score import chosen_class, explained_score
from lookright.types import Normalization, Request, Rows, Score, Target


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


FORMULAS = {
    Score.LOGIT: lambda z, c: z[c],
    Score.CONTRAST: lambda z, c: z[c] - np.mean(np.delete(z, c)),
    Score.RUNNER_UP: lambda z, c: z[c] - np.max(np.delete(z, c)),
    Score.LOG_PROBABILITY: lambda z, c: log_softmax(z)[c],
    Score.ALL_LOG_PROBABILITIES: lambda z, c: log_softmax(z).sum(),
}


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().double()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(3, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("score", Score)
def test_scores(score: Score, classes: int) -> None:
    torch.manual_seed(0)
    logits, chosen = 3 * torch.randn(6, classes, dtype=torch.double), torch.randint(0, classes, (6,))
    expected = [FORMULAS[score](z, c) for z, c in zip(logits.numpy(), chosen.numpy(), strict=True)]
    np.testing.assert_allclose(explained_score(logits, chosen, score).numpy(), expected)


@pytest.mark.parametrize("score", Score)
def test_gradients_of_scores_are_finite_twice(score: Score) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    chosen = torch.tensor([0, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda z: explained_score(z, chosen, score), (logits,))
    assert torch.autograd.gradgradcheck(lambda z: explained_score(z, chosen, score), (logits,))


def test_log_probabilities_of_half_precision_are_float32() -> None:
    logits = torch.tensor([[20.0, 0.0, 0.1]], dtype=torch.bfloat16)
    found = explained_score(logits, torch.tensor([1]), Score.LOG_PROBABILITY)
    torch.testing.assert_close(found, logits.float().log_softmax(dim=1)[:, 1])


def test_target_is_the_label_or_the_largest_logit() -> None:
    logits = torch.tensor([[1.0, 4.0, 0.0], [5.0, 4.0, 6.0]])
    label = torch.tensor([2, 0])
    assert chosen_class(logits, label, Target.LABEL).tolist() == [2, 0]
    assert chosen_class(logits, label, Target.PREDICTED).tolist() == [1, 2]
    assert chosen_class(logits, None, Target.PREDICTED).tolist() == [1, 2]


def test_a_single_output_is_explained_whatever_the_label() -> None:
    """A regression: its label is a number, not a class."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(4, 1))
    image, label = torch.rand(2, 3, 8, 8), torch.tensor([3.5, -1.0])
    explainer = GradCAM(network, image_size=8)
    request = Request(target=Target.PREDICTED)
    assert torch.equal(explainer(image, label).explanation, explainer(image, None, request).explanation)
    for score in Score:
        if score is not Score.LOGIT:
            with pytest.raises(ConfigError, match="compares classes"):
                explainer(image, label, Request(score=score))


def test_labels_that_are_no_classes_are_refused() -> None:
    logits = torch.zeros(2, 3)
    for label in (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2), torch.zeros(3, dtype=torch.long)):
        with pytest.raises(ConfigError, match=r"need int64 of shape \(2,\)"):
            chosen_class(logits, label, Target.LABEL)
    with pytest.raises(ConfigError, match="pass labels"):
        chosen_class(logits, None, Target.LABEL)
    with pytest.raises(ConfigError, match="need \\(B, K\\)"):
        chosen_class(torch.zeros(2, 3, 1), None, Target.PREDICTED)


@pytest.mark.parametrize("score", Score)
def test_predicted_equals_the_label_that_is_predicted(score: Score, tiny: Tiny, image: Tensor) -> None:
    explainer = GradCAM(tiny, tiny.target)
    predicted = tiny(image).argmax(dim=1)
    found = explainer(image, None, Request(Target.PREDICTED, score)).explanation
    torch.testing.assert_close(found, explainer(image, predicted, Request(Target.LABEL, score)).explanation)


def explainers(network: Tiny) -> list[Explainer]:
    return [
        GradCAM(network, network.target),
        InputGradient(network),
        InputXGradient(network, "below", image_size=8),
        IntegratedGradients(network, steps=2),
        Activation(network, "below", image_size=8),
    ]


@pytest.mark.parametrize("which", range(5))
def test_rows_equal_one_by_one(which: int, tiny: Tiny, image: Tensor) -> None:
    explainer = explainers(tiny)[which]
    rows = Rows(torch.tensor([2, 0, 2, 1, 2, 0]), torch.tensor([1, 2, 0, 0, 2, 0]))
    request = Request(score=Score.CONTRAST, normalization=Normalization.MAX_ABS)
    predicted = Request(Target.PREDICTED, Score.CONTRAST, Normalization.MAX_ABS)
    logits, maps = explainer(image, None, request, predicted, rows=rows)
    assert logits.shape == (3, 3)
    for r, (i, c) in enumerate(zip(*rows, strict=True)):
        alone = explainer(image[i : i + 1], c[None], request, predicted).explanations
        torch.testing.assert_close(maps[request][r : r + 1], alone[request])
        torch.testing.assert_close(maps[predicted][r : r + 1], alone[predicted])


def test_all_that_ask_share_one_forward_pass(tiny: Tiny, image: Tensor) -> None:
    names = ["grad-cam", "input-gradient", "input-x-gradient", "integrated-gradients", "activation"]
    asked = {
        Request(score=score, explainer=name): explainer
        for score in Score
        for name, explainer in zip(names, explainers(tiny), strict=True)
        if name != "integrated-gradients"
    }
    label, runs = torch.tensor([0, 2, 1]), []
    handle = tiny.register_forward_hook(lambda *_: runs.append(1))
    maps = explain(tiny, image, label, asked).explanations
    handle.remove()
    assert len(runs) == 1
    assert hooks(tiny) == 0
    assert torch.is_grad_enabled()
    for request, explainer in asked.items():
        torch.testing.assert_close(maps[request], explainer(image, label, request).explanation)
        assert maps[request].dtype is torch.float64
        assert maps[request].requires_grad


def test_orders_of_one_call_do_not_mix(tiny: Tiny, image: Tensor) -> None:
    """Of two explainers in one call, the one of first order keeps its constant gradients."""
    asked = {
        Request(normalization=Normalization.NONE): GradCAM(tiny, tiny.target, second_order=False),
        Request(explainer="grad-cam"): GradCAM(tiny, tiny.target),
    }
    maps = explain(tiny, image, torch.tensor([0, 2, 1]), asked).explanations
    reached = [
        torch.autograd.grad(m.sum(), tiny.head.weight, retain_graph=True, allow_unused=True)[0]
        for m in maps.values()
    ]
    assert [gradient is not None for gradient in reached] == [False, True]


@pytest.mark.parametrize("in_graph", [True, False])
def test_an_error_leaves_nothing_behind(in_graph: bool, tiny: Tiny, image: Tensor) -> None:
    class Fails(Explainer):
        needs = Needs(image=True)

        def explain(self, seen: Seen) -> Tensor:
            raise RuntimeError("broken")

    with torch.set_grad_enabled(in_graph):
        asked = {Request(): Fails(tiny), Request(explainer="grad-cam"): GradCAM(tiny, tiny.target)}
        with pytest.raises(RuntimeError, match="broken"):
            explain(tiny, image, torch.tensor([0, 2, 1]), asked)
        assert torch.is_grad_enabled() == in_graph
    assert hooks(tiny) == 0


def test_a_network_that_starts_in_place() -> None:
    """The image is a leaf of the graph, which nothing may overwrite; nor may the caller's image change."""
    torch.manual_seed(0)

    def build(inplace: bool) -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.ReLU(inplace=inplace), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=inplace), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(144, 2))

    image, label = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    given = image.clone()
    for kind in (InputGradient, InputXGradient, IntegratedGradients):
        found = kind(build(inplace=True))(image, label).explanation
        assert torch.equal(image, given)
        assert torch.equal(found, kind(build(inplace=False))(image, label).explanation)
        assert (found != 0).any()
