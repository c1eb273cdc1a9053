"""Runs that isolate images, from options to the trained network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import assert_close_logs

from lookright.config import TrainConfig
from lookright.engine.feature_file import FeatureFile
from lookright.engine.features import Features
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.errors import ConfigError

ISOLATE = "isolate + evidence + 3*soft-iou(score=logit)"


@pytest.mark.parametrize("scope", ["head", "last-stage", "all"])
@pytest.mark.parametrize("method", ["isolate(share=0.7)", ISOLATE, "complete + " + ISOLATE])
def test_trains_the_same_with_and_without_cached_features(
    method: str, scope: str, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    common = {"method": method, "train": scope, "annotated_per_class": 2, "negatives_outside": 0.1}
    runs = [
        train(options(out=tmp_path / str(cached), cache_features=cached, **common))
        for cached in (True, False)
    ]
    assert_close_logs(*runs)


def test_it_changes_what_is_learned(options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    one, other = (
        train(options(out=tmp_path / str(i), method=method, epochs=1)).log_file.read_text()
        for i, method in enumerate(("isolate", "baseline"))
    )
    assert one != other


def test_only_whole_images_are_kept_on_disk(
    options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, in_memory = 0, 0
    add_to_file, add = FeatureFile.add, Features.add

    def count_kept(self: FeatureFile, rows: list[tuple[str, bool]], features: torch.Tensor) -> None:
        nonlocal kept
        kept += len(rows)
        add_to_file(self, rows, features)

    def count(self: Features, keys: list[tuple[str, bool]], features: torch.Tensor) -> bool:
        nonlocal in_memory
        in_memory += sum("(isolated)" in name for name, _ in keys)
        return add(self, keys, features)

    monkeypatch.setattr(FeatureFile, "add", count_kept)
    monkeypatch.setattr(Features, "add", count)
    train(options(method="isolate", train="last-stage", annotated_per_class=2, cache_dir=tmp_path / "cache"))
    assert kept == 2 * 40 + 20, "training images in both orientations, and those of validation"
    assert in_memory == 2 * 20, "ten digits, two of each annotated"


@pytest.mark.parametrize("method", ["2*isolate", "isolate + isolate", "isolate(share=2)", "isolate(power=2)"])
def test_what_cannot_be_is_refused(method: str, options: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"isolate|share"):
        set_up(options(method=method))
