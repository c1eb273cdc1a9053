"""Captured attention against the networks' own, and what it leaves behind: nothing."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

from lookright.errors import ConfigError
from lookright.explainers.attention import capture_attention
from lookright.explainers.twice import twice_differentiable

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}


def explicit(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return network


class EncoderNet(nn.Module):
    """PyTorch's own encoder, whose fast path has no attention to see."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, stride=8)
        layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x).flatten(2).mT).mean(dim=1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "timm": lambda: VisionTransformer(**TINY, attn_drop_rate=0.2),
    "timm explicit": lambda: explicit(VisionTransformer(**TINY, attn_drop_rate=0.2)),
    "timm qk-norm": lambda: VisionTransformer(**TINY, qk_norm=True),
    "timm registers": lambda: VisionTransformer(**TINY, reg_tokens=2, class_token=False, global_pool="avg"),
    "deit distilled": lambda: VisionTransformerDistilled(**TINY),
    "torchvision": lambda: TorchvisionViT(32, 8, 2, 2, 16, 32, attention_dropout=0.2, num_classes=3),
    "encoder": EncoderNet,
}
COUNT = {"timm registers": 18, "deit distilled": 18, "encoder": 16}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for parameter in network.parameters():  # heads of zeros and the like would hide everything
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_gives_the_same_logits_and_gradients(name: str, training: bool, image: Tensor) -> None:
    network = make(name).train(training)
    parameters = list(network.parameters())
    torch.manual_seed(2)  # dropout
    expected = network(image)
    torch.manual_seed(2)
    with capture_attention() as attentions:
        logits = network(image)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    ours = torch.autograd.grad(logits.square().sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad(expected.square().sum(), parameters, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    tokens = COUNT.get(name, 17)
    assert [a.shape for a in attentions] == [(2, 2, tokens, tokens)] * 2
    for attention in attentions:
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(2, 2, tokens))


@pytest.mark.parametrize("fused", [True, False])
def test_timm_matrices_and_their_gradients_are_those_of_its_explicit_attention(
    fused: bool, image: Tensor
) -> None:
    network = make("timm")
    oracle: list[Tensor] = []
    explicit(network)
    hooks = [
        block.attn.attn_drop.register_forward_pre_hook(lambda module, args: oracle.append(args[0]))
        for block in network.blocks
    ]
    expected = torch.autograd.grad(network(image)[:, 1].sum(), oracle)
    for hook in hooks:
        hook.remove()
    for block in network.blocks:
        block.attn.fused_attn = fused
    with capture_attention() as attentions:
        logits = network(image)
    found = torch.autograd.grad(logits[:, 1].sum(), attentions)
    for a, b in zip([*attentions, *found], [*oracle, *expected], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert [block.attn.fused_attn for block in network.blocks] == [fused, fused]


@pytest.mark.parametrize("name", ["torchvision", "encoder"])
def test_matrices_are_the_weights_of_multihead_attention(name: str, image: Tensor) -> None:
    network = make(name)
    layers = [module for module in network.modules() if isinstance(module, nn.MultiheadAttention)]
    inputs: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda module, args: inputs.append(args[0])) for layer in layers]
    with capture_attention() as attentions:
        network(image)
    for hook in hooks:
        hook.remove()
    for layer, x, attention in zip(layers, inputs, attentions, strict=True):
        _, expected = layer(x, x, x, need_weights=True, average_attn_weights=False)
        torch.testing.assert_close(attention, expected, atol=1e-5, rtol=1e-4)


MASKS: dict[str, dict[str, Tensor]] = {
    "none": {},
    "causal": {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)},
    "added, per head": {"attn_mask": torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0))},
    "padding": {"key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2])},
    "both": {
        "attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1),
        "key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2]),
    },
}


@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    "options", [{}, {"kdim": 6, "vdim": 7}, {"bias": False}, {"batch_first": True}], ids=str
)
def test_multihead_attention_with_masks_and_options(options: dict, masks: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, **options).eval()
    q, k, v = torch.rand(5, 2, 8), torch.rand(5, 2, layer.kdim), torch.rand(5, 2, layer.vdim)
    if layer.batch_first:
        q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
    expected = layer(q, k, v, average_attn_weights=False, **masks)
    with capture_attention() as attentions:
        found = layer(q, k, v, average_attn_weights=False, **masks)
        mean = layer(q, k, v, **masks)[1]
        assert layer(q, k, v, need_weights=False, **masks)[1] is None
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(attentions[0], expected[1])
    torch.testing.assert_close(mean, expected[1].mean(dim=1))


def test_multihead_attention_of_a_single_sequence() -> None:
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(8, 2), torch.rand(5, 8)
    with capture_attention() as attentions:
        found = layer(x, x, x)
    torch.testing.assert_close(found, layer(x, x, x))
    assert attentions[0].shape == (1, 2, 5, 5)


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_multihead_attention_with_other_keys_is_refused(option: str) -> None:
    layer, x = nn.MultiheadAttention(8, 2, **{option: True}), torch.rand(5, 2, 8)
    with pytest.raises(ConfigError, match="more than its tokens"), capture_attention():
        layer(x, x, x)


OPTIONS: dict[str, dict] = {
    "plain": {},
    "scale": {"scale": 0.1},
    "causal": {"is_causal": True},
    "added mask": {"attn_mask": torch.linspace(-2, 2, 25).view(5, 5)},
    "mask with an empty row": {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril(-1)},
    "grouped queries": {"enable_gqa": True},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_scaled_dot_product_attention(options: dict, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q = torch.randn(2, 4, 5, 3).to(dtype).requires_grad_()
    heads = 2 if options.get("enable_gqa") else 4
    k, v = torch.randn(2, heads, 5, 3).to(dtype), torch.randn(2, heads, 5, 3).to(dtype)
    if "attn_mask" in options and options["attn_mask"].is_floating_point():
        options = options | {"attn_mask": options["attn_mask"].to(dtype)}
    expected = F.scaled_dot_product_attention(q, k, v, **options)
    with capture_attention() as attentions:
        found = F.scaled_dot_product_attention(q, k, v, **options)
    assert found.dtype is dtype
    tolerance = {"atol": 2e-2, "rtol": 2e-2} if dtype is torch.bfloat16 else {"atol": 1e-6, "rtol": 1e-5}
    torch.testing.assert_close(found, expected, **tolerance)
    (a,), (b,) = torch.autograd.grad(found.sum(), q), torch.autograd.grad(expected.sum(), q)
    torch.testing.assert_close(a, b, **tolerance)
    assert a.isfinite().all()
    assert attentions[0].dtype is (torch.float64 if dtype is torch.float64 else torch.float32)


def test_the_gradient_of_a_matrix_by_hand() -> None:
    q, k, v, c = torch.rand(4, 1, 2, 5, 3)
    with capture_attention() as attentions:
        output = F.scaled_dot_product_attention(q, k, v)
    (gradient,) = torch.autograd.grad((c * output).sum(), attentions)
    torch.testing.assert_close(gradient, c @ v.mT)


def test_one_head_without_a_dimension_of_its_own_is_one_head() -> None:
    x = torch.rand(2, 5, 3, requires_grad=True)
    with capture_attention() as attentions:
        fused = F.scaled_dot_product_attention(x, x, x, scale=1)
        written = (x @ x.mT).softmax(dim=-1) @ x
        _ = (x @ x.mT).softmax(dim=1), torch.rand(4, 7).softmax(dim=-1), torch.rand(2, 4, 7).softmax(-1)
    torch.testing.assert_close(fused, written)
    assert [a.shape for a in attentions] == [(2, 1, 5, 5)] * 2
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad((fused + written).sum(), attentions))


@pytest.mark.parametrize("name", ["timm", "timm explicit", "torchvision"])
@pytest.mark.parametrize("without", ["no_grad", "frozen"])
def test_without_gradients_the_graph_starts_at_the_first_matrix(
    name: str, without: str, image: Tensor
) -> None:
    network = make(name)
    expected = network(image)
    with torch.set_grad_enabled(without != "no_grad"):
        before = torch.is_grad_enabled()
        if without == "frozen":
            network.requires_grad_(False)
        with capture_attention() as attentions:
            logits = network(image)
        assert torch.is_grad_enabled() is before
    assert attentions[0].is_leaf
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad(logits[:, 0].sum(), attentions)
    assert all(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("name", ["timm", "timm explicit", "torchvision", "encoder"])
def test_autocast(name: str, image: Tensor) -> None:
    network = make(name)
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(image)
        with capture_attention() as attentions:
            logits = network(image)
            gradients = torch.autograd.grad(logits.float().sum(), attentions, create_graph=True)
    assert logits.dtype is expected.dtype
    torch.testing.assert_close(logits, expected, atol=0.1, rtol=0.1)
    if name != "timm explicit":  # whose softmax is its own
        assert all(a.dtype is torch.float32 for a in attentions)
    for gradient in torch.autograd.grad(
        sum(g.square().sum() for g in gradients), network.parameters(), allow_unused=True
    ):
        assert gradient is None or gradient.isfinite().all()


def test_what_follows_in_place_does_not_change_the_matrix() -> None:
    scores = torch.rand(1, 2, 3, 3, requires_grad=True)
    for allowed in (True, False):
        with torch.set_grad_enabled(allowed), capture_attention() as attentions:
            masked = scores.softmax(dim=-1)
            masked *= 0.5
        torch.testing.assert_close(attentions[0], scores.softmax(dim=-1))
        torch.testing.assert_close(masked, scores.softmax(dim=-1) / 2)


@pytest.mark.parametrize("twice_first", [True, False])
@pytest.mark.parametrize("name", ["timm", "timm explicit", "torchvision", "encoder"])
def test_twice_differentiable(name: str, twice_first: bool, image: Tensor) -> None:
    network = make(name).double()
    image = image.double()
    weight = next(p for p in network.parameters() if p.ndim == 2)

    def gradient_norm() -> Tensor:
        contexts = [twice_differentiable, capture_attention]
        with ExitStack() as stack:
            entered = [stack.enter_context(c()) for c in (contexts if twice_first else contexts[::-1])]
            logits = network(image)
            attentions = next(e for e in entered if e is not None)
            gradients = torch.autograd.grad(logits[:, 0].sum(), attentions, create_graph=True)
        return sum(g.square().sum() for g in gradients)

    (found,) = torch.autograd.grad(gradient_norm(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    with torch.no_grad():
        weight += step * direction
    above = gradient_norm()
    with torch.no_grad():
        weight -= 2 * step * direction
    difference = (above - gradient_norm()) / (2 * step)
    torch.testing.assert_close((found * direction).sum(), difference.detach(), rtol=1e-4, atol=1e-7)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


@pytest.mark.parametrize("gradients", [True, False])
def test_nothing_is_left_behind_when_the_network_raises(gradients: bool, image: Tensor) -> None:
    network = make("timm explicit")
    network.head = Raises()
    with torch.set_grad_enabled(gradients):
        with pytest.raises(RuntimeError, match="on purpose"), capture_attention():
            network(image)
        assert torch.is_grad_enabled() is gradients
    assert not _get_current_function_mode_stack()
    assert not any(block.attn.fused_attn for block in network.blocks)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
