"""The bound holds under random scalings and is reached; the certificate says when a prediction can change.

The oracle is the network itself: the features of the target layer are scaled, the head runs on them.
"""

import itertools
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from lookright.errors import ConfigError
from lookright.explainers import CellEvidence, GradCAM
from lookright.losses import Evidence
from lookright.metrics import OUTSIDE, evidence_outside, outside_cells
from lookright.models import create
from lookright.resize import resize_annotation
from lookright.types import Normalization, Request, Score, Target
from networks import FAMILIES, IMAGE_SIZE

SIZE = 64
RUNNER_UP = Request(target=Target.PREDICTED, score=Score.RUNNER_UP, normalization=Normalization.NONE)

LINEAR_AFTER_THE_LAST_LAYER = {
    *("timm resnet", "timm densenet", "timm tf_efficientnet_lite", "timm efficientnet", "timm regnet"),
    *("timm swin", "timm swinv2"),
    *("torchvision resnet", "torchvision efficientnet", "torchvision regnet", "torchvision swin"),
}


def small_cnn(classes: int) -> nn.Module:
    return create("small_cnn", num_classes=classes, image_size=SIZE).network.eval()


def resnet(classes: int) -> nn.Module:
    return timm.create_model("resnet10t", num_classes=classes).eval()


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def marks(count: int = 6) -> Tensor:
    """A block, a smaller block, ..., with a negative mark in one image and nothing in the last."""
    annotation = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.int8)
    for i in range(count - 1):
        annotation[i, :, 8 * i : 8 * i + 24, 8 : 48 - 4 * i] = 1
    annotation[0, :, 40:, 40:] = -1
    return annotation


def scaled(network: nn.Module, layer: nn.Module, factors: Tensor) -> Tensor:
    """Logits of the network when the cells of a layer are scaled by factors, (B, 1, h, w)."""
    handle = layer.register_forward_hook(lambda module, args, output: output * factors)
    try:
        with torch.no_grad():
            return network(images(len(factors)))
    finally:
        handle.remove()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("make", [small_cnn, resnet])
def test_bound_holds_is_reached_and_certifies(make: Callable[[int], nn.Module], classes: int) -> None:
    torch.manual_seed(classes)
    network = make(classes)
    for parameter in network.parameters():
        if parameter.ndim == 2:  # a new head is nearly zero
            nn.init.normal_(parameter, std=1.0)
    cells = CellEvidence(network, image_size=SIZE)
    layer = cells.explainer.layer.module
    with torch.no_grad(), cells.watch() as seen:
        logits = network(images())
    evidence = cells.evidence(seen)
    torch.testing.assert_close(evidence.sum(dim=(2, 3)) + cells.bias, logits, atol=1e-4, rtol=1e-4)
    assert cells.is_exact(evidence, logits).all()
    annotated = torch.ones(len(logits), dtype=torch.bool)
    found = evidence_outside(evidence, logits, marks(), annotated)
    outside = outside_cells(marks(), evidence.shape[2:])
    here = torch.arange(len(logits) - 1)  # the last image has no mark
    assert all(found[name][-1].isnan() and found[name][here].isfinite().all() for name in OUTSIDE)

    predicted = logits.argmax(1)
    lead = logits.gather(1, predicted[:, None]) - logits
    margin = found["outside_margin"]
    rival = (lead - margin[:, None]).abs().scatter(1, predicted[:, None], torch.inf).argmin(1)
    torch.testing.assert_close(lead.gather(1, rival[:, None])[:, 0][here], margin[here])

    def changes(factors: Tensor) -> tuple[Tensor, Tensor]:
        z = scaled(network, layer, torch.where(outside, factors, 1.0))
        new = (z.gather(1, predicted[:, None]) - z.gather(1, rival[:, None]))[:, 0]
        return (new - margin)[here], z.argmax(1)[here]

    generator = torch.Generator().manual_seed(0)
    safe, slack = found["certified"][here] == 1, 1e-4
    for trial in range(16):
        factors = torch.rand(outside.shape, generator=generator)
        if trial % 2:
            factors = factors.round()  # corners are where extremes are
        change, now = changes(factors)
        assert (change.abs() <= found["evidence_outside"][here] + slack).all()
        assert (change >= -found["positive_outside"][here] - slack).all()
        assert (change <= found["negative_outside"][here] + slack).all()
        assert (now == predicted[here])[safe].all()

    difference = evidence[torch.arange(len(logits)), predicted] - evidence[torch.arange(len(logits)), rival]
    for sign, amount in ((1, -found["positive_outside"]), (-1, found["negative_outside"])):
        change, now = changes((sign * difference[:, None] <= 0).float())
        torch.testing.assert_close(change, amount[here], atol=1e-4, rtol=1e-4)
        if sign == 1:  # where it is not certified, the worst scaling does change the prediction
            assert (now != predicted[here])[~safe].all()


def test_certificate_is_that_of_all_corners_and_all_rivals() -> None:
    """Against every choice of 0 and 1 on the cells outside, of which an extreme is one."""
    generator = torch.Generator().manual_seed(3)
    evidence = torch.randn(200, 3, 2, 2, generator=generator)
    bias = torch.tensor([0.3, -0.2, 0.1])
    logits = evidence.sum(dim=(2, 3)) + bias
    annotation = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(200, 1, 2, 2)
    found = evidence_outside(evidence, logits, annotation, torch.ones(200, dtype=torch.bool))
    keeps = torch.ones(200, dtype=torch.bool)
    for corner in itertools.product((0.0, 1.0), repeat=3):
        factors = torch.tensor([[1.0, corner[0]], [corner[1], corner[2]]])
        keeps &= ((evidence * factors).sum(dim=(2, 3)) + bias).argmax(1) == logits.argmax(1)
    assert torch.equal(found["certified"] == 1, keeps)
    assert 0 < keeps.sum() < 200


def test_thousand_random_scalings_stay_within_the_bound() -> None:
    generator = torch.Generator().manual_seed(4)
    evidence = torch.randn(1000, 4, 3, 3, generator=generator, dtype=torch.float64)
    logits = evidence.sum(dim=(2, 3)) + torch.randn(4, generator=generator, dtype=torch.float64)
    annotation = torch.randint(-1, 2, (1000, 1, 3, 3), generator=generator)
    annotation[:, :, 0, 0] = 1
    found = evidence_outside(evidence, logits, annotation, torch.ones(1000, dtype=torch.bool))
    factors = torch.rand(1000, 1, 3, 3, generator=generator, dtype=torch.float64)
    factors = torch.where(outside_cells(annotation, (3, 3)), factors, 1.0)
    moved = logits + (evidence * (factors - 1)).sum(dim=(2, 3))
    order = logits.argsort(dim=1, descending=True)
    for rank in (1, 2, 3):  # the bound is told for one rival; its margin says which
        before, after = (z.gather(1, order) for z in (logits, moved))
        of_rival = (before[:, 0] - before[:, rank] - found["outside_margin"]).abs() < 1e-5
        change = ((after[:, 0] - after[:, rank]) - (before[:, 0] - before[:, rank]))[of_rival]
        assert len(change) > 0
        assert (change.abs() <= found["evidence_outside"][of_rival] + 1e-5).all()
    safe = found["certified"] == 1
    assert torch.equal(moved.argmax(1)[safe], logits.argmax(1)[safe])


def test_two_classes_are_the_map_of_the_runner_up_contrast() -> None:
    """Against Grad-CAM of the difference of the two logits, times the number of cells."""
    torch.manual_seed(0)
    network = small_cnn(2)
    logits, maps = GradCAM(network, image_size=SIZE)(images(), None, RUNNER_UP)
    lead = maps[RUNNER_UP].detach()
    outside = outside_cells(marks(), lead.shape[2:])
    cells = CellEvidence(network, image_size=SIZE)
    with torch.no_grad(), cells.watch() as seen:
        network(images())
    annotated = torch.tensor([True] * 5 + [False])
    found = evidence_outside(cells.evidence(seen), logits.detach(), marks(), annotated)
    positive = (lead.relu() * outside).sum(dim=(1, 2, 3))[:5]
    torch.testing.assert_close(found["positive_outside"][:5], positive, atol=1e-5, rtol=1e-4)
    assert found["certified"][5].isnan()


def test_the_root_of_the_evidence_loss_bounds_it() -> None:
    """Two classes, negative marks on all that is not marked positive: both count the same cells."""
    torch.manual_seed(0)
    network = small_cnn(2)
    annotation = torch.where(marks()[:5] > 0, 1.0, -1.0)
    request = Evidence().request
    logits, maps = GradCAM(network, image_size=SIZE)(images(5), torch.tensor([0, 1, 0, 1, 0]), request)
    cells = CellEvidence(network, image_size=SIZE)
    with torch.no_grad(), cells.watch() as seen:
        network(images(5))
    found = evidence_outside(cells.evidence(seen), logits.detach(), annotation, torch.ones(5).bool())
    annotation = resize_annotation(annotation, maps[request].shape[2:])
    share = (annotation < 0).float().mean(dim=(1, 2, 3))
    bound = share * Evidence().per_sample(maps[request], annotation).sqrt()
    amount = found["positive_outside"] + found["negative_outside"]
    assert (found["evidence_outside"] > 0).all()
    assert (amount <= bound + 1e-5).all()
    flat = torch.ones(1, 1, 2, 2)  # reached where all cells outside say the same
    marked = torch.tensor([[[[1.0, -1.0], [-1.0, -1.0]]]])
    assert Evidence().per_sample(flat, marked).sqrt() * 0.75 == pytest.approx(3)


def test_a_head_that_is_linear_on_the_images_alone_is_refused() -> None:
    torch.manual_seed(0)
    hidden = nn.Linear(8, 8)
    nn.init.constant_(hidden.bias, 5.0)  # no unit is off where the features are small
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(hidden, nn.ReLU(), nn.Linear(8, 2)),
    ).eval()
    with pytest.raises(ConfigError, match="target_layer: after '1'"):
        CellEvidence(network, "1", image_size=SIZE)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_evidence_is_exact_or_refused(family: str) -> None:
    """As docs/theory.md lists them."""
    network = FAMILIES[family]()
    hooks = sum(len(module._forward_hooks) for module in network.modules())
    if family not in LINEAR_AFTER_THE_LAST_LAYER:
        with pytest.raises(ConfigError, match="comes something else"):
            CellEvidence(network, image_size=IMAGE_SIZE)
    else:
        cells = CellEvidence(network, image_size=IMAGE_SIZE)
        with torch.no_grad(), cells.watch() as seen:
            logits = network(torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE))
        assert cells.is_exact(cells.evidence(seen), logits).all()
        assert not cells.is_exact(cells.evidence(seen), logits + logits.abs().max()).any()
    assert sum(len(module._forward_hooks) for module in network.modules()) == hooks


def test_a_cell_that_did_not_run_is_said() -> None:
    cells = CellEvidence(small_cnn(2), image_size=SIZE)
    with cells.watch() as seen, pytest.raises(ConfigError, match="did not run"):
        cells.evidence(seen)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"evidence": torch.zeros(2, 1, 2, 2)}, "evidence"),
        ({"logits": torch.zeros(2, 4)}, "logits"),
        ({"annotation": torch.zeros(1, 1, 4, 4)}, "annotation"),
        ({"annotated": torch.ones(3, dtype=torch.bool)}, "annotated"),
    ],
)
def test_wrong_shapes(change: dict[str, Tensor], name: str) -> None:
    arguments = {
        "evidence": torch.zeros(2, 3, 2, 2),
        "logits": torch.zeros(2, 3),
        "annotation": torch.zeros(2, 1, 4, 4),
        "annotated": torch.ones(2, dtype=torch.bool),
    }
    with pytest.raises(ValueError, match=name):
        evidence_outside(**arguments | change)
