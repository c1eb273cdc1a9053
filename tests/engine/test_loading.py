"""Where batches come from: a cached run opens no photo, and who needs pixels gets them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import assert_close_logs
from torch import Tensor

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset
from lookright.engine.inference import infer
from lookright.engine.loading import load_batches
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.engine.trainer import Trainer
from lookright.engine.trunk import FrozenTrunk, make_trunk
from lookright.explainers import GradCAM, Seen
from lookright.losses import ExplanationLoss, LossInputs, LossResult
from lookright.losses.reduce import global_mean
from lookright.metrics import FIGURES, localization


class OnDark(ExplanationLoss):
    """A loss of somebody's own that looks at the image."""

    def compute(self, inputs: LossInputs) -> LossResult:
        dark = (inputs.image < 0).float().mean(dim=(1, 2, 3))
        return LossResult(global_mean(inputs.explanation.mean(dim=(1, 2, 3)) * dark, inputs.annotated))


class TimesBrightness(GradCAM):
    """An explainer of somebody's own that looks at the image, though it does not need a gradient there."""

    def explain(self, seen: Seen) -> Tensor:
        return super().explain(seen) * seen.image.mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def no_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the features are there, no sample is made any more."""
    fill, sample = FrozenTrunk.fill, ExplanationDataset.sample

    def filled(self: FrozenTrunk, *rest: object) -> bool:
        monkeypatch.setattr(ExplanationDataset, "sample", sample)
        done = fill(self, *rest)
        monkeypatch.setattr(ExplanationDataset, "sample", None)
        return done

    monkeypatch.setattr(FrozenTrunk, "fill", filled)


@pytest.mark.parametrize("scope", ["head", "last-stage"])
@pytest.mark.parametrize("method", ["res-g", "res-l", "energy", "gradia"])
@pytest.mark.usefixtures("no_photos")
def test_a_cached_run_opens_no_photo(
    method: str, scope: str, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    train(options(method=method, train=scope, out=tmp_path / "cached"))


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "res-l", "imputer": "s2", "regularizer": 0.1},
        {"method": "test_loading.OnDark"},
        {"explainer": "test_loading.TimesBrightness"},
        {"negatives_outside": 0.1, "annotated_per_class": 2, "resize": "nearest"},
        {"method": "gradia", "precision": "bf16"},
    ],
    ids=lambda changes: str(next(iter(changes.values()))),
)
def test_whoever_looks_at_the_image_gets_it(
    changes: dict[str, object], options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    runs = [
        train(options(out=tmp_path / str(cached), train="last-stage", cache_features=cached, **changes))
        for cached in (True, False)
    ]
    assert_close_logs(*runs, tolerance=2e-2 if "precision" in changes else 1e-4)


@pytest.mark.parametrize(
    ("explainer", "blind"), [("grad-cam", True), ("test_loading.TimesBrightness", False)]
)
def test_an_explainer_that_looks_at_the_image_is_found_out(
    explainer: str, blind: bool, options: Callable[..., TrainConfig]
) -> None:
    setup = set_up(options(train="last-stage", explainer=explainer))
    trunk = make_trunk(setup.classifier, [setup.explainer], image_size=32)
    assert not trunk.serves(setup.train)
    assert trunk.fill([setup.train], "cpu")
    assert trunk.serves(setup.train) is blind
    assert not trunk.serves(setup.val), "its features were not computed"


def test_validation_gives_the_same_from_memory(options: Callable[..., TrainConfig]) -> None:
    setup = set_up(options(train="last-stage"))
    trunk = make_trunk(setup.classifier, [setup.explainer], image_size=32)
    trunk.fill([setup.val], "cpu")
    memory = infer(setup.explainer, setup.val, trunk=trunk)
    photos = infer(setup.explainer, setup.val)
    assert memory.id == photos.id
    torch.testing.assert_close(memory.probabilities, photos.probabilities, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(memory.explanation, photos.explanation, rtol=1e-3, atol=1e-5)


def test_only_the_figures_that_are_wanted_and_only_where_there_is_an_annotation(
    options: Callable[..., TrainConfig],
) -> None:
    setup = set_up(options(annotated_per_class=1, flip=False))
    assert 0 < sum(setup.train.annotated) < len(setup.train)
    whole = infer(setup.explainer, setup.train)
    some = infer(setup.explainer, setup.train, figures=["epg", "iou"])
    assert tuple(whole.localization) == FIGURES
    assert set(some.localization) == {"iou", "epg"}
    marks = torch.stack([setup.train.sample(i, mirrored=False).annotation for i in range(len(setup.train))])
    expected = localization(whole.explanation[:, None], marks, whole.annotated)
    for name, values in expected.items():
        torch.testing.assert_close(whole.localization[name], values, equal_nan=True)
        if name in some.localization:
            torch.testing.assert_close(some.localization[name], values, equal_nan=True)


@pytest.mark.parametrize("cached", [True, False])
def test_loading_draws_no_random_numbers_of_the_network(
    cached: bool, options: Callable[..., TrainConfig]
) -> None:
    """Dropout is the same, cached or not."""
    setup = set_up(options(train="last-stage"))
    trunk = make_trunk(setup.classifier, [setup.explainer], image_size=32)
    assert trunk.fill([setup.train], "cpu")
    torch.manual_seed(0)
    batches = load_batches(setup.train, 20, trunk=trunk if cached else None)
    assert [len(batch.id) for batch in batches] == [20, 20]
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(0))


def test_annotations_that_do_not_fit_are_not_kept(options: Callable[..., TrainConfig]) -> None:
    setup = set_up(options(train="last-stage"))
    trunk = make_trunk(setup.classifier, [setup.explainer], image_size=32)
    assert trunk.fill([setup.train], "cpu")
    setup.train.cache_bytes = 0
    assert not any(batch.image.isnan().any() for batch in load_batches(setup.train, 20, trunk=trunk))


def test_workers_live_on_and_remember(options: Callable[..., TrainConfig]) -> None:
    config = options(workers=1, cache_features=False, epochs=4, flip=False)
    folder = train(config)
    asked_before = set_up(config).train._counts.sum(dim=0)[0].item()
    assert folder.facts()["photos_from_memory"] >= 0.75 * 160 / (160 + asked_before)


def test_batches_are_there_before_anything_runs(options: Callable[..., TrainConfig]) -> None:
    from lookright.engine.processes import make_fabric

    config = options(train="head")
    trainer = Trainer(make_fabric(config), config, set_up(config), "")
    assert len(next(trainer._groups(0))[0].id) == 20
