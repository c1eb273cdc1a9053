"""Every family of networks with every explainer, in first and second order: what fits, and what is refused.

python tests/matrix.py > docs/matrix.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, Explainer, make_explainer
from lookright.types import Normalization, Request
from networks import CLASSES, FAMILIES, IMAGE_SIZE

OWN_SHAPES = {
    "contextual-decomposition": (2 * CLASSES, 1, 1),
    "output-bounds": (2 * CLASSES, 1, 1),
    "input-gradient-bounds": (3, IMAGE_SIZE, IMAGE_SIZE),
}
"""(C, h, w) of the explainers of regions; all others give one map"""
IMAGES = 2


@dataclass(frozen=True)
class Outcome:
    """What came of one network, explainer and order."""

    refusal: str | None = None
    """the message, where the explainer does not fit the network"""
    constant: bool = False
    """whether the explanation moves with no weight, as a gradient at the image does in first order"""
    problem: str | None = None
    """what is wrong, where it should fit"""


def outcome(network: nn.Module, name: str, *, second_order: bool) -> Outcome:
    """Explain two images; see whether the map is right and a loss on it reaches the weights."""
    torch.manual_seed(0)
    image, label = torch.randn(IMAGES, 3, IMAGE_SIZE, IMAGE_SIZE), torch.tensor([0, 2])
    region = torch.zeros(IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.bool)
    region[..., :16] = True
    request = Request(normalization=Normalization.NONE, channels=name in OWN_SHAPES)
    try:
        explainer = make_explainer(name, network, second_order=second_order, image_size=IMAGE_SIZE)
        explanation = explainer(image, label, request, region=region).explanation
    except ConfigError as error:
        return Outcome(refusal=str(error), problem=_left_behind(network))
    reached = _gradients(network, explanation)
    if not reached and explainer.needs.image and not second_order:
        return Outcome(constant=True, problem=_left_behind(network))
    return Outcome(problem=_problem(name, explainer, explanation, reached) or _left_behind(network))


def _gradients(network: nn.Module, explanation: Tensor) -> dict[str, Tensor]:
    """Gradients of the weights that a loss on the explanation reaches, by name."""
    weights = {name: p for name, p in network.named_parameters() if p.ndim >= 2}
    if not explanation.requires_grad:
        return {}
    loss = explanation.square().mean()
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    named = zip(weights, found, strict=True)
    return {name: gradient for name, gradient in named if gradient is not None and gradient.count_nonzero()}


def _problem(name: str, explainer: Explainer, explanation: Tensor, reached: dict[str, Tensor]) -> str | None:
    shape = tuple(explanation.shape[1:])
    if name in OWN_SHAPES:
        if shape != OWN_SHAPES[name]:
            return f"the explanation is {shape}"
    elif shape[0] != 1 or min(shape[1:]) < 2 or shape[1] != shape[2]:
        return f"the map is {shape}"
    if not torch.isfinite(explanation).all():
        return "the explanation is not finite"
    if not all(torch.isfinite(gradient).all() for gradient in reached.values()):
        return "a gradient of the weights is not finite"
    if explainer.order == "second" and explainer.second_order and not any(map(_is_head, reached)):
        return "in second order the loss does not reach the head"
    return None if any(not _is_head(n) for n in reached) else "no weight below the head is reached"


def _is_head(parameter: str) -> bool:
    return parameter.startswith(("head", "fc", "classifier", "output", "heads"))


def _left_behind(network: nn.Module) -> str | None:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())
    if hooks:
        return f"{hooks} hooks stay"
    if not torch.is_grad_enabled():
        return "gradients stay off"
    return "the network is left in train mode" if network.training else None


def row(family: str) -> tuple[str, dict[str, str]]:
    """One line of the table, and explainer -> why it is refused; anything wrong raises."""
    network = FAMILIES[family]()
    cells, refusals = [], {}
    for name in EXPLAINERS:
        first, second = (outcome(network, name, second_order=order) for order in (False, True))
        for order, result in (("first", first), ("second", second)):
            if result.problem is not None:
                raise RuntimeError(f"{family}, {name}, {order} order: {result.problem}")
        if second.refusal is not None:
            refusals[name] = second.refusal
            cells.append("–")
        else:
            cells.append("2" if first.constant else "1, 2")
    return f"| {family} | {' | '.join(cells)} |", refusals


HEADER = """# Networks and explainers

Which explainer works on which family of networks, tried out on a tiny network of each (timm's, torchvision's,
and one of a user's own with in-place activations): two images are explained, in first and in second order.
What is checked: the map is finite and has the right shape, a loss on it reaches the weights (in second order
those of the head as well), and no hook, mode or switch is left behind. This page is written by
`python tests/matrix.py > docs/matrix.md`; a test compares every row with what happens.

- **1, 2**: works in first and second order.
- **2**: works in second order. In first order the explanation moves with no weight: it is a gradient at the
  image, which has no other way to the weights; training on it is refused by the guard.
- **–**: refused, with one line that says why; see below the table.

The last three explain a region of the image (the negative marks), for CDEP, IBP-Ex and R4.
"""


def main() -> None:
    """Print the page."""
    say = sys.stdout.write
    say(HEADER + "\n")
    say("| network | " + " | ".join(f"`{name}`" for name in EXPLAINERS) + " |\n")
    say("|" + " --- |" * (len(EXPLAINERS) + 1) + "\n")
    refused: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        line, refusals = row(family)
        say(line + "\n")
        for name, reason in refusals.items():
            refused.setdefault(name, {})[family] = reason
    say("\n## What is refused, and why\n\n")
    for name, reasons in refused.items():
        family = next(iter(reasons))
        say(f"- `{name}`, on {len(reasons)} of {len(FAMILIES)}; on {family}: *{reasons[family]}*.\n")


if __name__ == "__main__":
    main()
