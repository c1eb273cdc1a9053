"""Rollout and relevance against loops in NumPy; tokens against what is known of the networks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from timm.models.cait import Cait
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import AttentionRollout
from lookright.explainers.attention import capture_attention
from lookright.explainers.relevance import (
    HeadFusion,
    Tokens,
    find_tokens,
    gradient_weighted_relevance,
    relevance_map,
    rollout,
)

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}


@pytest.fixture
def attentions() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, 5, 5, dtype=torch.double).softmax(dim=-1) for _ in range(3)]


def rollout_by_loops(attentions: list[Tensor], fuse: Callable[..., np.ndarray], discard: float) -> np.ndarray:
    images = []
    for image in range(2):
        result = np.eye(5)
        for attention in attentions:
            fused = fuse(attention[image].numpy(), axis=0).copy()
            order = np.argsort(fused, axis=None)[: int(discard * 25)]
            fused.reshape(-1)[order] = 0
            step = np.zeros((5, 5))
            for i in range(5):
                for j in range(5):
                    step[i, j] = 0.5 * fused[i, j] + (0.5 if i == j else 0)
                step[i] /= sum(step[i])
            result = step.dot(result)
        images.append(result)
    return np.stack(images)


@pytest.mark.parametrize("discard", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(
    ("fusion", "fuse"), [(HeadFusion.MEAN, np.mean), (HeadFusion.MAX, np.max), (HeadFusion.MIN, np.min)]
)
def test_rollout(
    attentions: list[Tensor], fusion: HeadFusion, fuse: Callable[..., np.ndarray], discard: float
) -> None:
    found = rollout(attentions, fusion, discard)
    np.testing.assert_allclose(found.numpy(), rollout_by_loops(attentions, fuse, discard), atol=1e-12)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, 5, dtype=torch.double))


def test_relevance(attentions: list[Tensor]) -> None:
    gradients = [torch.randn_like(a) for a in attentions]
    for image in range(2):
        relevance = np.eye(5)
        for attention, gradient in zip(attentions, gradients, strict=True):
            mean = np.zeros((5, 5))
            for a, g in zip(attention[image].numpy(), gradient[image].numpy(), strict=True):
                mean += np.maximum(a * g, 0) / 3
            relevance = relevance + mean.dot(relevance)
        found = gradient_weighted_relevance(attentions, gradients)[image].numpy()
        np.testing.assert_allclose(found, relevance - np.eye(5), atol=1e-12)


def test_gradients(attentions: list[Tensor]) -> None:
    leaves = [a.requires_grad_() for a in attentions]
    gradients = [torch.randn_like(a).requires_grad_() for a in attentions]
    assert torch.autograd.gradcheck(lambda *a: rollout(a), leaves)
    assert torch.autograd.gradcheck(lambda *a: rollout(a, HeadFusion.MAX, 0.4), leaves)
    assert torch.autograd.gradcheck(
        lambda *x: gradient_weighted_relevance(x[:3], x[3:]), [*leaves, *gradients]
    )


def test_precision(attentions: list[Tensor]) -> None:
    """Half precision and autocast count in float32."""
    half = [a.bfloat16() for a in attentions]
    with torch.autocast("cpu", torch.bfloat16):
        found = rollout(half), gradient_weighted_relevance(half, half)
    expected = (
        rollout([a.float() for a in half]),
        gradient_weighted_relevance([a.float() for a in half], [a.float() for a in half]),
    )
    torch.testing.assert_close(found, expected)


def test_map() -> None:
    matrix = torch.arange(2 * 8 * 8.0).view(2, 8, 8)
    found = relevance_map(matrix, grid=(2, 3), prefix=2, readout=(0,))
    assert found.shape == (2, 1, 2, 3)
    assert found[1, 0].tolist() == [[66, 67, 68], [69, 70, 71]]
    pooled = relevance_map(matrix, grid=(2, 3), prefix=2, readout=range(2, 8))
    assert pooled[0, 0].tolist() == [[38, 39, 40], [41, 42, 43]]
    with pytest.raises(ConfigError, match="2 x 2 patches and 2 tokens before them are not the 8 tokens"):
        relevance_map(matrix, grid=(2, 2), prefix=2, readout=(0,))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tokens]] = {
    "class token": (lambda: VisionTransformer(**TINY), Tokens(1, 8, (0,))),
    "layer scale": (lambda: VisionTransformer(**TINY, init_values=1e-5), Tokens(1, 8, (0,))),
    "class token, mean": (
        lambda: VisionTransformer(**TINY, global_pool="avg"),
        Tokens(1, 8, tuple(range(1, 17))),
    ),
    "registers": (lambda: VisionTransformer(**TINY, reg_tokens=4), Tokens(5, 8, (0,))),
    "no class token": (
        lambda: VisionTransformer(**TINY, class_token=False, global_pool="avg"),
        Tokens(0, 8, tuple(range(16))),
    ),
    "distilled": (lambda: VisionTransformerDistilled(**TINY), Tokens(2, 8, (0, 1))),
    "torchvision, head of zeros": (
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3),
        Tokens(1, 8, (0,)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tokens(name: str) -> None:
    make, expected = NETWORKS[name]
    torch.manual_seed(0)
    network = make()
    state = torch.get_rng_state()
    assert find_tokens(network, image_size=32) == expected
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert expected.grid(32, 48) == (4, 6)


class Aside(nn.Module):
    """Attention that leads nowhere, as that of a compiled network seems to do."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT[:, None]
        nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.head(x.mean(dim=(2, 3)))


class Windows(nn.Module):
    """Attention in windows of 4 x 4 patches alone: all matrices are of one shape, but of no image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        windows = self.embed(x).unfold(2, 4, 4).unfold(3, 4, 4)  # (B, 8, 2, 2, 4, 4)
        tokens = windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 8)
        tokens = self.attention(tokens, tokens, tokens)[0]
        return self.head(tokens.reshape(len(x), -1, 8).mean(dim=1))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "cnn": (lambda: torchvision.models.resnet18(num_classes=3), "no attention was seen.* use Grad-CAM"),
    "swin": (
        lambda: SwinTransformer(32, 2, embed_dim=8, depths=(1, 1), num_heads=(2, 2), window_size=4),
        "in windows .*use Grad-CAM",
    ),
    "torchvision swin": (
        lambda: torchvision.models.SwinTransformer([2, 2], 8, [1, 1], [2, 2], [4, 4], num_classes=3),
        "in windows .*use Grad-CAM",
    ),
    "windows": (Windows, "attends to 4 times 16 tokens"),
    "pooled by attention": (lambda: VisionTransformer(**TINY, global_pool="map"), "by a pooling token"),
    "class attention": (lambda: Cait(32, 8, embed_dim=16, depth=1, num_heads=2), "by a pooling token"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_do_not_fit_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    network = make().eval()
    with pytest.raises(ConfigError, match=message):
        find_tokens(network, image_size=32)
    if name != "windows":
        with torch.no_grad(), capture_attention() as attentions:
            network(torch.rand(2, 3, 32, 32))
        with pytest.raises(ConfigError, match=message):
            rollout(attentions)
        with pytest.raises(ConfigError, match=message):
            gradient_weighted_relevance(attentions, attentions)


@pytest.mark.parametrize("trained", [True, False])
def test_attention_that_leads_nowhere_is_refused(trained: bool) -> None:
    with pytest.raises(ConfigError, match="do not depend on the last attention"):
        find_tokens(Aside().requires_grad_(trained), image_size=8)


def test_wrong_arguments(attentions: list[Tensor]) -> None:
    with pytest.raises(ConfigError, match=r"discard: got 1\.0"):
        rollout(attentions, discard=1.0)
    network = VisionTransformer(32, 8, num_classes=3, embed_dim=16, depth=2, num_heads=2)
    for discard in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match=f"discard: got {discard}, need a share"):
            AttentionRollout(network, image_size=32, discard=discard)
    with pytest.raises(ConfigError, match="head_fusion: got 'sum', choose one of mean, max, min"):
        AttentionRollout(network, image_size=32, head_fusion="sum")
    assert AttentionRollout(network, image_size=32, head_fusion=HeadFusion.MAX).head_fusion is HeadFusion.MAX
    with pytest.raises(ConfigError, match="gradients: got"):
        gradient_weighted_relevance(attentions, attentions[:2])


def relevance_of(network: nn.Module, image: Tensor, tokens: Tokens, second_order: bool) -> Tensor:
    with capture_attention() as attentions:
        logits = network(image)
        gradients = torch.autograd.grad(
            logits[:, 1].sum(), attentions, create_graph=second_order, retain_graph=True
        )
    matrix = gradient_weighted_relevance(attentions, gradients)
    return relevance_map(matrix, tokens.grid(32, 32), tokens.prefix, tokens.readout)


@pytest.mark.parametrize("name", ["class token", "registers", "no class token", "distilled"])
def test_second_order_by_finite_differences(name: str) -> None:
    make, tokens = NETWORKS[name]
    torch.manual_seed(0)
    network = make().double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    image, scale = torch.randn(2, 3, 32, 32).double(), torch.randn(4, 4).double()

    def scalar(second_order: bool = True) -> Tensor:
        return (scale * relevance_of(network, image, tokens, second_order)).sum()

    # The MLP of the last block is above all attention: only the second order reaches it.
    for weight in (
        network.patch_embed.proj.weight,
        network.blocks[0].attn.qkv.weight,
        network.blocks[1].mlp.fc1.weight,
    ):
        (found,) = torch.autograd.grad(scalar(), weight)
        direction, step = torch.randn_like(weight), 1e-6
        with torch.no_grad():
            weight += step * direction
            with torch.enable_grad():
                above = scalar().detach()
            weight -= 2 * step * direction
            with torch.enable_grad():
                below = scalar().detach()
            weight += step * direction
        torch.testing.assert_close(
            (found * direction).sum(), (above - below) / (2 * step), rtol=1e-4, atol=1e-8
        )

    first = torch.autograd.grad(
        scalar(second_order=False),
        [network.blocks[0].attn.qkv.weight, network.blocks[1].mlp.fc1.weight],
        allow_unused=True,
    )
    assert first[0].abs().sum() > 0
    assert first[1] is None


def test_tokens_are_found_where_gradients_are_off() -> None:
    network = VisionTransformer(32, 8, num_classes=3, embed_dim=16, depth=2, num_heads=2)
    with torch.no_grad():
        assert find_tokens(network, image_size=32) == Tokens(prefix=1, patch=8, readout=(0,))
