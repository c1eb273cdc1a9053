"""One forward pass, and every explanation of it that is requested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers.attention import capture_attention
from lookright.explainers.capture import capture
from lookright.explainers.double_backward import sites_alone
from lookright.explainers.score import chosen_class, explained_score
from lookright.explainers.seen import Needs, Seen
from lookright.explainers.twice import twice_differentiable
from lookright.normalize import normalize
from lookright.precision import full_precision
from lookright.types import Explained, Request, Rows, Score, Target

if TYPE_CHECKING:
    from lookright.explainers.base import Explainer


def explain(
    network: nn.Module,
    image: Tensor,
    label: Tensor | None,
    requests: Mapping[Request, Explainer],
    *,
    rows: Rows | None = None,
    region: Tensor | None = None,
) -> Explained:
    """Run the network once; give the explanations that are requested of the explainers.

    Explanations of the same score share its backward pass. Under `torch.no_grad()` they come without a
    graph, and only the part of the network above the lowest layer that is looked at is differentiated.

    Args:
        network: image (B, 3, H, W) -> logits (B, K)
        image: (B, 3, H, W)
        label: (B,) int64; needed where a request's target is the label and there are no rows
        requests: which explanation, of which explainer
        rows: image and class of each explanation, where images have several annotated classes
        region: (B, 1, H, W) bool, for explainers of a part of the image

    Returns:
        logits (B, K), and by request (B, C, h, w) float32, or (R, C, h, w) with rows

    Raises:
        ConfigError: inference mode; a layer that did not run or that the logits do not depend on.

    Example:
        >>> from lookright.explainers import GradCAM, InputGradient
        >>> from lookright.models import create
        >>> network = create("small_cnn", num_classes=2).network
        >>> cam, gradient = GradCAM(network, image_size=32), InputGradient(network, image_size=32)
        >>> requests = {Request(): cam, Request(score=Score.CONTRAST): gradient}
        >>> logits, maps = explain(network, torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 0]), requests)
        >>> [tuple(explanation.shape) for explanation in maps.values()]
        [(4, 1, 8, 8), (4, 1, 32, 32)]
    """
    if torch.is_inference_mode_enabled():
        raise ConfigError("an explanation needs gradients: use torch.no_grad(), not torch.inference_mode()")
    in_graph = torch.is_grad_enabled()
    explainers = list(dict.fromkeys(requests.values()))
    second_order = in_graph and any(e.second_order and e.order == "second" for e in explainers)
    with _watch(image, [explainer.needs for explainer in explainers], second_order) as watched:
        logits: Tensor = network(watched.input)
        for name in watched.layers:
            if name not in watched.activation:
                raise ConfigError(f"target_layer: '{name}' did not run in the forward pass; name another")
    # Nothing watches any more: explainers may run the network again.
    one_pass = _Pass(network, watched, logits, region, in_graph, second_order)
    raw: dict[tuple[Explainer, Target, Score], Tensor] = {}
    for target, score in dict.fromkeys((r.target, r.score) for r in requests):
        asked = dict.fromkeys(e for r, e in requests.items() if (r.target, r.score) == (target, score))
        for explainer, explanation in one_pass.explain(list(asked), label, target, score, rows).items():
            raw[explainer, target, score] = explanation
    explanations = {}
    with torch.autocast(image.device.type, enabled=False):
        for request, explainer in requests.items():
            explanation = full_precision(raw[explainer, request.target, request.score])
            if explanation.ndim != 4:
                raise ConfigError(
                    f"explainer: {type(explainer).__name__}.explain gave shape {tuple(explanation.shape)}, "
                    "need (B, C, h, w)"
                )
            if not request.channels:
                explanation = explainer.reduce(explanation)
            explanation = normalize(explanation, request.normalization)
            explanations[request] = explanation if in_graph else explanation.detach()
    return Explained(logits if in_graph else logits.detach(), explanations)


@dataclass
class _Watched:
    """The sites of one forward pass, filled while it runs."""

    input: Tensor
    image: Tensor
    layers: dict[str, nn.Module]
    activation: dict[str, Tensor] = field(default_factory=dict)
    attention: Sequence[Tensor] = ()


@contextmanager
def _watch(image: Tensor, needs: list[Needs], second_order: bool) -> Iterator[_Watched]:
    layers = {layer.name: layer.module for need in needs for layer in need.layers}
    watched = _Watched(image, image, layers)
    with ExitStack() as stack:
        if any(need.image for need in needs):
            stack.enter_context(torch.enable_grad())
            watched.image = image.detach().requires_grad_()
            watched.input = watched.image.clone()  # the network may work in place, which a leaf forbids
        if second_order and any(need.image or need.attention for need in needs):
            stack.enter_context(twice_differentiable())
        if any(need.attention for need in needs):
            watched.attention = stack.enter_context(capture_attention())
        watched.activation = stack.enter_context(capture(layers, second_order=second_order))
        yield watched


@dataclass(frozen=True)
class _Pass:
    network: nn.Module
    watched: _Watched
    logits: Tensor
    region: Tensor | None
    in_graph: bool
    second_order: bool

    def explain(
        self,
        explainers: list[Explainer],
        label: Tensor | None,
        target: Target,
        score: Score,
        rows: Rows | None,
    ) -> dict[Explainer, Tensor]:
        """Explain one score, for every row where there are rows."""
        if rows is None:
            return self._explain(explainers, chosen_class(self.logits, label, target), score)
        slot = _slots(rows)
        found: dict[Explainer, list[Tensor]] = {explainer: [] for explainer in explainers}
        # How many passes there are is for the host to know: the one wait for the device of a step with rows.
        for number in range(int(slot.max()) + 1):  # images with fewer rows are explained for class 0
            here = slot == number  # one row of an image at most: its label is the sum
            of_slot = rows.label.new_zeros(len(self.logits)).index_add(0, rows.image, rows.label * here)
            chosen = chosen_class(self.logits, of_slot, target)
            for explainer, explanation in self._explain(explainers, chosen, score).items():
                found[explainer].append(explanation)
        return {explainer: torch.stack(parts)[slot, rows.image] for explainer, parts in found.items()}

    def _explain(self, explainers: list[Explainer], chosen: Tensor, score: Score) -> dict[Explainer, Tensor]:
        def scored(logits: Tensor) -> Tensor:
            return explained_score(logits, chosen, score)

        seen = self._see([e.needs for e in explainers if e.needs.gradient], scored, chosen)
        first_order = seen.first_order()
        with torch.autocast(self.logits.device.type, enabled=False):
            return {e: e.explain(seen if e.second_order else first_order) for e in explainers}

    def _see(self, needs: list[Needs], scored: Callable[[Tensor], Tensor], chosen: Tensor) -> Seen:
        watched = self.watched
        names = list(dict.fromkeys(layer.name for need in needs for layer in need.layers))
        attention = list(watched.attention) if any(need.attention for need in needs) else []
        image = [watched.image] if any(need.image for need in needs) else []
        sites = [*(watched.activation[name] for name in names), *attention, *image]
        labels = [
            *(f"'{name}'" for name in names),
            *("the attention" for _ in attention),
            *("the image" for _ in image),
        ]
        with torch.enable_grad():
            total = scored(self.logits).sum()
        gradients = self._gradients(total, sites, labels)
        activation, maps = watched.activation, tuple(watched.attention)
        if not self.in_graph:
            activation = {name: tensor.detach() for name, tensor in activation.items()}
            maps = tuple(tensor.detach() for tensor in maps)
        return Seen(
            network=self.network,
            image=watched.image,
            logits=self.logits,
            score=scored,
            chosen=chosen,
            activation=activation,
            attention=maps,
            layer_gradient=dict(zip(names, gradients, strict=False)),
            attention_gradient=tuple(gradients[len(names) : len(names) + len(attention)]),
            image_gradient=gradients[-1] if image else None,
            region=self.region,
            second_order=self.second_order,
        )

    def _gradients(self, total: Tensor, sites: list[Tensor], labels: list[str]) -> list[Tensor]:
        if not sites:
            return []
        with sites_alone():
            found = torch.autograd.grad(
                total, sites, retain_graph=True, create_graph=self.second_order, allow_unused=True
            )
        gradients = []
        for gradient, label in zip(found, labels, strict=True):
            if gradient is None:
                raise ConfigError(
                    f"explainer: the logits do not depend on {label}; take another target_layer or explainer"
                )
            gradients.append(gradient)
        return gradients


def _slots(rows: Rows) -> Tensor:
    """Number the rows of each image: 0 for its first, 1 for its second."""
    same = rows.image[:, None] == rows.image[None, :]
    return same.tril(diagonal=-1).sum(dim=1)
