"""The steps are what they are called: ours is the real one, the published one costs what it should."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.bench.steps import (
    LOSSES,
    Subject,
    Variant,
    captum_loss,
    make_step,
    make_subject,
    plain_loss,
    published_loss,
    supervised_loss,
)
from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.losses import RES
from lookright.types import Request

BATCH = 3
CPU = torch.device("cpu")


@pytest.fixture
def subject() -> Subject:
    return make_subject("small_cnn", batch_size=BATCH, image_size=32, device=CPU)


def gradients(subject: Subject, loss: Tensor) -> dict[str, Tensor]:
    loss.backward()
    found = {n: p.grad.clone() for n, p in subject.network.named_parameters() if p.grad is not None}
    subject.optimizer.zero_grad()
    return found


def first_convolution(network: nn.Module) -> nn.Module:
    return next(m for m in network.modules() if isinstance(m, nn.Conv2d))


def count_passes(subject: Subject, loss: Callable[[Subject], Tensor]) -> tuple[int, int]:
    """Images that run forward, and backward, through the lowest layer in one step."""
    forward = backward = 0

    def note(module: nn.Module, args: object, output: Tensor) -> None:
        def differentiated(gradient: Tensor) -> None:
            nonlocal backward
            backward += len(gradient)

        nonlocal forward
        forward += len(output)
        output.register_hook(differentiated)

    handle = first_convolution(subject.network).register_forward_hook(note)
    loss(subject).backward()
    handle.remove()
    return forward, backward


def test_supervised_is_the_real_model_with_res_g(subject: Subject) -> None:
    assert type(subject.supervised) is SupervisedModel
    assert subject.supervised.explainer is subject.explainer
    assert type(subject.explainer) is GradCAM
    assert subject.explainer.second_order
    subject.network.eval()
    logits, maps = subject.explainer(subject.batch.image, subject.batch.label)
    expected = F.cross_entropy(logits, subject.batch.label) + RES()(
        maps[Request()], subject.batch.annotation, subject.batch.annotated
    )
    torch.testing.assert_close(supervised_loss(subject), expected, atol=1e-5, rtol=0)


def test_plain_is_cross_entropy(subject: Subject) -> None:
    subject.network.eval()
    log_p = subject.network(subject.batch.image).log_softmax(dim=1)
    expected = -log_p[torch.arange(BATCH), subject.batch.label].mean()
    torch.testing.assert_close(plain_loss(subject), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18"])
def test_captum_gives_our_loss_and_its_gradients(backbone: str) -> None:
    subject = make_subject(backbone, batch_size=BATCH, image_size=64, device=CPU)
    subject.network.eval()
    ours, captum = supervised_loss(subject), captum_loss(subject)
    torch.testing.assert_close(captum, ours, atol=1e-5, rtol=0)
    # float32 in two orders of summation; second-order parts are small differences of large terms
    torch.testing.assert_close(gradients(subject, captum), gradients(subject, ours), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("variant", Variant)
def test_half_precision_is_near_single(variant: Variant) -> None:
    single, half = (
        make_subject("small_cnn", batch_size=BATCH, image_size=32, device=CPU, precision=precision)
        for precision in ("32", "bf16")
    )
    loss = LOSSES[variant](half)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[variant](single), atol=0.05, rtol=0.05)
    assert not torch.equal(loss, LOSSES[variant](single)), "nothing ran in half precision"


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18", "vit_tiny_patch16_224"])
def test_published_is_our_first_order_loss_in_another_structure(backbone: str) -> None:
    subject = make_subject(backbone, batch_size=BATCH, image_size=64, device=CPU)
    subject.network.eval()  # in training each image alone has other BatchNorm statistics: a flaw of that code
    subject.explainer.second_order = False
    ours, published = supervised_loss(subject), published_loss(subject)
    torch.testing.assert_close(published, ours, atol=1e-5, rtol=0)
    ours_by_name = gradients(subject, ours)
    torch.testing.assert_close(gradients(subject, published), ours_by_name, atol=1e-5, rtol=1e-4)
    assert set(ours_by_name) == {name for name, _ in subject.network.named_parameters()}


@pytest.mark.parametrize(
    ("loss", "forward", "backward"),
    [
        (plain_loss, BATCH, BATCH),
        (supervised_loss, BATCH, BATCH),
        # once more forward, and backward from the loss through this second graph
        (captum_loss, 2 * BATCH, 2 * BATCH),
        # once more forward; backward for the score, and from the loss through this second graph
        (published_loss, 2 * BATCH, 3 * BATCH),
    ],
)
def test_passes_through_the_network(
    subject: Subject, loss: Callable[[Subject], Tensor], forward: int, backward: int
) -> None:
    assert count_passes(subject, loss) == (forward, backward)


@pytest.mark.parametrize("variant", Variant)
def test_a_step_learns_and_leaves_nothing_behind(subject: Subject, variant: Variant) -> None:
    before = first_convolution(subject.network).weight.detach().clone()
    make_step(subject, variant)()
    moved = (first_convolution(subject.network).weight - before).abs().max()
    assert 0 < moved < 1e-5, "small enough that the variants meet the same network"
    assert all(p.grad is None for p in subject.network.parameters())
    assert not any(m._forward_hooks for m in subject.network.modules())
    assert subject.network.training
