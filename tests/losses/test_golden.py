"""The published RES code as an independent oracle: maps, threshold, losses and gradients of one batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.explainers import GradCAM
from lookright.losses import (
    GRADIA,
    HAICS,
    RES,
    ExplanationLoss,
    Objective,
    Term,
    adaptive_threshold,
    deep_imputer,
    shallow_imputer,
)
from lookright.resize import ResizeRule, resize_annotation
from lookright.types import Batch, Normalization, Request

ATOL = 1e-5
RELU_MAX = Request(normalization=Normalization.RELU_MAX)


class GoldenNet(nn.Module):
    """The small network of the golden files, with their parameter names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 8, stride=8)
        self.layer4 = nn.Sequential(nn.Conv2d(8, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1))
        self.fc = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layer4(F.relu(self.conv1(x)))
        return self.fc(features.mean(dim=(2, 3)))


LOSSES = {
    "gradia": lambda: GRADIA(),
    "haics": lambda: HAICS(published=True),
    "res_g": lambda: RES(slack=0.1),
    "res_g_eta0": lambda: RES(slack=0.0),
    "res_l_s1": lambda: RES(shallow_imputer(32, published_init=True)),
    "res_l_s2": lambda: RES(shallow_imputer(32, sees_image=True, published_init=True)),
    "res_l_d1": lambda: RES(deep_imputer(32, published_init=True)),
    "res_l_d2": lambda: RES(deep_imputer(32, sees_image=True, published_init=True)),
}


class Golden:
    """One file, its network with the recorded weights, and its batch."""

    def __init__(self, path: Path) -> None:
        self.values = np.load(path)
        self.network = GoldenNet()
        weights = {k[3:]: torch.from_numpy(v) for k, v in self.values.items() if k.startswith("sd/")}
        self.network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("imp")})
        self.imputer_weights = {k: v for k, v in weights.items() if k.startswith("imp")}
        image = self.tensor("images_28").repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
        annotated = self.tensor("annotation_weight") > 0
        self.batch = Batch(
            image, self.tensor("labels").long(), self.tensor("annotation_224")[:, None].float(), annotated, ()
        )

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.values[name])

    def load_imputer(self, loss: ExplanationLoss) -> dict[str, nn.Parameter]:
        """Copy the recorded imputer in; returns its parameters by the golden names."""
        if not self.imputer_weights:
            return {}
        parameters = dict(zip(self.imputer_weights, loss.imputer.parameters(), strict=True))
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(self.imputer_weights[name])
        return parameters


@pytest.mark.parametrize("name", LOSSES)
def test_maps_equal_the_published_ones(golden: Path, name: str) -> None:
    case = Golden(golden / f"{name}.npz")
    explain = GradCAM(case.network, case.network.layer4, second_order=False)
    _, maps = explain(case.batch.image, case.batch.label, Request(), RELU_MAX)
    torch.testing.assert_close(maps[Request()][:, 0], case.tensor("cam_minmax"), atol=ATOL, rtol=0)
    torch.testing.assert_close(maps[RELU_MAX][:, 0], case.tensor("cam_relu"), atol=ATOL, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_threshold_equals_the_published_one(golden: Path, name: str) -> None:
    case = Golden(golden / f"{name}.npz")
    marks = case.tensor("annotation_7x7").float() * case.batch.annotated[:, None, None]
    alpha = adaptive_threshold(case.tensor("cam_minmax").reshape(1, -1), marks.reshape(1, -1))
    assert alpha.item() == pytest.approx(float(case.values["alpha"]), abs=ATOL)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients_equal_the_published_ones(golden: Path, name: str) -> None:
    case = Golden(golden / f"{name}.npz")
    loss = LOSSES[name]()
    loss.resize = ResizeRule.NEAREST
    imputer = case.load_imputer(loss)
    objective = Objective([Term(loss)])
    explain = GradCAM(case.network, case.network.layer4, second_order=False)

    result = objective(case.batch, explain(case.batch.image, case.batch.label, *objective.requests))
    result.total.backward()

    assert result.prediction_loss.item() == pytest.approx(float(case.values["loss_task"]), abs=ATOL)
    assert result.explanation_loss.item() == pytest.approx(float(case.values["loss_attention"]), abs=ATOL)
    assert result.total.item() == pytest.approx(float(case.values["loss_total"]), abs=ATOL)
    parameters = dict(case.network.named_parameters()) | imputer
    golden_gradients = [key for key in case.values if key.startswith("grad/")]
    assert len(golden_gradients) == len(parameters)
    for key in golden_gradients:
        gradient = parameters[key.removeprefix("grad/")].grad
        torch.testing.assert_close(
            gradient, case.tensor(key), atol=ATOL, rtol=0, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("name", LOSSES)
def test_nearest_equals_the_published_annotation_grid(golden: Path, name: str) -> None:
    case = Golden(golden / f"{name}.npz")
    on_grid = resize_annotation(case.batch.annotation, (7, 7), ResizeRule.NEAREST)
    assert torch.equal(on_grid[:, 0], case.tensor("annotation_7x7").float())


def test_the_default_haics_is_another_loss(golden: Path) -> None:
    """The published code: cross-entropy over *all* cells times the marked share. Ours is the paper's."""
    case = Golden(golden / "haics.npz")
    annotation = case.tensor("annotation_7x7").float()
    weight = case.batch.annotated
    cam = case.tensor("cam_minmax").clamp(1e-6, 1 - 1e-6)

    loss = HAICS()
    loss.resize = ResizeRule.NEAREST
    ours = loss(cam[:, None], case.batch.annotation, case.batch.annotated)
    marked = annotation != 0
    rows = [
        F.binary_cross_entropy(cam[i][marked[i]], annotation[i][marked[i]].clamp(min=0))
        for i in range(len(annotation))
        if weight[i] and marked[i].any()
    ]
    assert ours.item() == pytest.approx(torch.stack(rows).sum().item() / int(weight.sum()), abs=ATOL)
    assert ours.item() != pytest.approx(float(case.values["loss_attention"]), rel=0.1)
