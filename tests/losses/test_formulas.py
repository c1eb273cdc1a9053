"""The losses against plain NumPy loops written from the formulas."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lookright.config import TrainConfig
from lookright.errors import ConfigError
from lookright.losses import (
    GRADIA,
    HAICS,
    RES,
    AsDrawn,
    Evidence,
    ExplanationLoss,
    Outside,
    SoftIoU,
    adaptive_threshold,
    build_objective,
    deep_imputer,
    shallow_imputer,
)
from lookright.losses.imputers import GaussianImputer
from lookright.types import Normalization, Request

Array = NDArray[np.float64]


def apply(loss: ExplanationLoss, maps: Array, marks: Array) -> float:
    return loss(torch.tensor(maps)[:, None].float(), torch.tensor(marks)[:, None].float()).item()


def test_gradia(case: tuple[Array, Array]) -> None:
    maps, marks = case
    assert apply(GRADIA(), maps, marks) == pytest.approx(np.abs(maps - marks.clip(min=0)).mean(), abs=1e-6)


def test_haics(case: tuple[Array, Array]) -> None:
    maps, marks = case
    total = 0.0
    for m, f in zip(maps.clip(1e-6, 1 - 1e-6), marks, strict=True):
        cells = [-(np.log(a) if b > 0 else np.log(1 - a)) for a, b in zip(m.flat, f.flat, strict=True) if b]
        total += np.mean(cells) if cells else 0.0
    assert apply(HAICS(), maps, marks) == pytest.approx(total / len(maps), abs=1e-5)


def test_soft_iou(case: tuple[Array, Array]) -> None:
    maps, marks = case
    total = 0.0
    for m, f in zip(maps, marks.clip(min=0), strict=True):
        if f.any():
            total += 1 - (m * f).sum() / (m + f - m * f).sum()
    assert apply(SoftIoU(), maps, marks) == pytest.approx(total / len(maps), abs=1e-5)


@pytest.mark.parametrize("outside", Outside)
def test_evidence(case: tuple[Array, Array], outside: Outside) -> None:
    maps, marks = case
    total, (height, width) = 0.0, maps.shape[1:]
    for m, f in zip(maps, marks, strict=True):
        cells = f < 0
        if outside is Outside.COMPLEMENT and not cells.any() and (f > 0).any():
            near = np.zeros_like(cells)
            for i, j in np.argwhere(f > 0):
                near[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] = True
            cells = ~near
        if cells.any():
            total += ((height * width * m[cells]) ** 2).mean()
    assert apply(Evidence(outside), maps, marks) == pytest.approx(total / len(maps), rel=1e-5)


def test_evidence_of_a_full_annotation_is_zero() -> None:
    assert apply(Evidence(), np.ones((1, 3, 3)), np.ones((1, 3, 3))) == 0


def brute_force_alpha(maps: Array, marks: Array) -> float:
    """Try every candidate, O(n^2); the smallest of the best. Counts as exact fractions."""
    from fractions import Fraction

    values = maps.astype(np.float32)
    negative, positive = values[marks < 0], values[marks > 0]
    candidates = sorted({*(negative + np.float32(1e-4)).tolist(), *positive.tolist()})
    best, alpha = Fraction(-1), 0.0
    for a in candidates:
        score = Fraction(0)
        if len(negative):
            score += Fraction(int((negative < np.float32(a)).sum()), len(negative))
        if len(positive):
            score += Fraction(int((positive >= np.float32(a)).sum()), len(positive))
        if score > best:
            best, alpha = score, a
    return alpha


def test_adaptive_threshold(case: tuple[Array, Array]) -> None:
    maps, marks = case
    for rows in (slice(None), slice(1, 2), slice(2, 3), slice(3, 4)):
        m, f = maps[rows].reshape(1, -1), marks[rows].reshape(1, -1)
        alpha = adaptive_threshold(torch.tensor(m).float(), torch.tensor(f)).item()
        assert alpha == pytest.approx(brute_force_alpha(m, f), abs=1e-7)


def test_adaptive_threshold_solves_rows_apart(case: tuple[Array, Array]) -> None:
    maps, marks = (torch.tensor(a).float().flatten(1) for a in case)
    together = adaptive_threshold(maps, marks)
    alone = torch.cat([adaptive_threshold(m[None], f[None]) for m, f in zip(maps, marks, strict=True)])
    assert torch.equal(together, alone)


def blurred(positive: Array) -> Array:
    padded = np.pad(positive, 1, mode="reflect")
    line = np.array([0.25, 0.5, 0.25])
    out = np.zeros_like(positive)
    for i in range(positive.shape[0]):
        for j in range(positive.shape[1]):
            out[i, j] = line @ padded[i : i + 3, j : j + 3] @ line
    return out / (out.max() + 1e-6)


def test_gaussian_imputer(case: tuple[Array, Array]) -> None:
    positive = case[1].clip(min=0)
    tensor = torch.tensor(positive)[:, None].float()
    ours = GaussianImputer()(tensor, tensor, None)[:, 0].numpy()
    np.testing.assert_allclose(ours, np.stack([blurred(p) for p in positive]), atol=1e-5)


@pytest.mark.parametrize("slack", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("impute", [True, False])
@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("tanh", [True, False])
def test_res(
    case: tuple[Array, Array],
    slack: float,
    threshold: float | None,
    impute: bool,
    per_image: bool,
    tanh: bool,
) -> None:
    maps, marks = case

    def excess(m: Array, f: Array) -> float:
        if not (f != 0).any():
            return 0.0
        alpha = brute_force_alpha(m, f) if threshold is None else threshold
        marked = [(a - alpha, b) for a, b in zip(m.flat, f.flat, strict=True) if b]
        distance = [abs((np.tanh(5 * x) if tanh else max(-1, min(1, 2 * x))) - b) for x, b in marked]
        return max(0.0, float(np.mean(distance)) - slack)

    disagreement = (
        np.mean([excess(m, f) for m, f in zip(maps, marks, strict=True)])
        if per_image
        else excess(maps, marks)
    )
    targets = [blurred(p) if impute else p for p in marks.clip(min=0)]
    imputation = np.abs(maps - np.stack(targets)).mean()
    imputer = None if impute else AsDrawn()
    loss = RES(imputer, slack=slack, threshold=threshold, per_image=per_image, tanh=tanh)
    assert apply(loss, maps, marks) == pytest.approx(disagreement + imputation, abs=1e-5)


def test_res_without_tanh_and_threshold_compares_the_map_itself(case: tuple[Array, Array]) -> None:
    maps, marks = case
    expected = np.abs(2 * maps - 1 - marks)[marks != 0].mean() + np.abs(maps - marks.clip(min=0)).mean()
    loss = RES(AsDrawn(), slack=0, threshold=0.5, tanh=False)
    assert apply(loss, maps, marks) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["res-g", "res-l"])
def test_res_requests_the_map_as_it_is_asked_for(method: str) -> None:
    """In parentheses; what the objective asks of the explainer is what it computes the loss on."""
    for name in ("min-max", "relu-max", "none"):
        config = TrainConfig(method=f"{method}(normalize={name}, tanh=false)")
        (request,) = build_objective(config, stride=32).requests
        assert request.normalization is Normalization(name)
    assert build_objective(TrainConfig(method=method), stride=32).requests == (Request(),)
    with pytest.raises(ConfigError, match="normalize: got 'mean', choose one of none, min-max"):
        build_objective(TrainConfig(method=f"{method}(normalize=mean)"), stride=32)
    with pytest.raises(ConfigError, match=r"tanh='no'.*need true or false"):
        build_objective(TrainConfig(method=f"{method}(tanh=no)"), stride=32)


def test_regularizer_is_the_drift() -> None:
    torch.manual_seed(0)
    explanation, annotation = torch.rand(2, 1, 4, 4), torch.ones(2, 1, 32, 32)
    annotation[..., :16] = 0
    imputer = shallow_imputer(8)
    without = RES(imputer)(explanation, annotation)
    drift = (imputer(annotation[..., ::8, ::8], annotation, None) - annotation[..., ::8, ::8]).square().mean()
    torch.testing.assert_close(RES(imputer, regularizer=0.5)(explanation, annotation), without + 0.5 * drift)


@pytest.mark.parametrize("make", [shallow_imputer, deep_imputer])
@pytest.mark.parametrize("sees_image", [False, True])
def test_learned_imputers_start_alive_and_follow_the_annotation(make: type, sees_image: bool) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        imputer = make(32, sees_image=sees_image)
        full = torch.zeros(3, 1, 224, 224)
        full[..., 32:128, 64:160] = 1
        grid = torch.nn.functional.avg_pool2d(full, 32)
        imputed = imputer(grid, full, torch.randn(3, 3, 224, 224))
        imputed.square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in imputer.parameters() if p.ndim == 4)
        correlation = np.corrcoef(imputed.detach().flatten(), grid.flatten())[0, 1]
        assert correlation > 0.5


def test_stop_gradient_leaves_the_imputer_to_the_regulariser() -> None:
    explanation, annotation = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 32, 32)
    annotation[..., :16, :16] = 1
    imputer = shallow_imputer(8)
    RES(imputer, stop_gradient=True)(explanation, annotation).requires_grad_().backward()
    assert imputer.layers[0].weight.grad is None
    RES(imputer, stop_gradient=True, regularizer=1.0)(explanation, annotation).backward()
    assert imputer.layers[0].weight.grad.abs().sum() > 0


def test_imputers_at_any_grid() -> None:
    """Where the strides do not lead to the grid the output is resized to it."""
    grid, full = torch.zeros(2, 1, 7, 9), torch.rand(2, 1, 60, 70)
    assert shallow_imputer(8)(grid, full, None).shape == grid.shape
    one = torch.ones(1, 1, 1, 1)
    assert GaussianImputer()(one, one, None).item() == pytest.approx(1, abs=1e-5)


def test_options_out_of_range_are_said() -> None:
    with pytest.raises(ConfigError, match="slack: got -1"):
        RES(slack=-1)
    with pytest.raises(ConfigError, match="regularizer"):
        RES(regularizer=-1)
    with pytest.raises(ConfigError, match="threshold: got 2"):
        RES(threshold=2)
    for normalize, reached, refused in (
        (Normalization.RELU_MAX, 0.5, -0.5),
        (Normalization.MAX_ABS, -0.5, -1.5),
        (Normalization.NONE, -40.0, float("nan")),
    ):
        assert RES(threshold=reached, normalize=normalize).threshold == reached
        with pytest.raises(ConfigError, match=f"threshold: got {refused}.* scaled by {normalize.value}"):
            RES(threshold=refused, normalize=normalize)
    with pytest.raises(ConfigError, match="power of two"):
        shallow_imputer(12)
    with pytest.raises(ConfigError, match="pass it, or use S1 or D1"):
        RES(deep_imputer(8, sees_image=True))(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 32, 32))
