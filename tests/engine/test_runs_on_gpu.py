"""Whole runs on a GPU: they give what the CPU gives, and what holds there holds here."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import Killed, assert_close_logs, kill_in_step, log, number

from lookright.config import TrainConfig
from lookright.engine.evaluate import evaluate
from lookright.engine.many import train_many
from lookright.engine.train import train
from lookright.losses import METHODS

RunOptions = Callable[..., TrainConfig]
NEEDS_MORE = ("robust-vit", "complete")
"""methods that need a transformer, or a loss beside them"""


@pytest.fixture
def on_gpu(options: RunOptions, gpu: torch.device) -> RunOptions:
    """Options of a small run on the GPU."""
    return lambda **changes: options(accelerator=gpu.type, **changes)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in NEEDS_MORE])
def test_every_method_trains(method: str, on_gpu: RunOptions) -> None:
    run = train(on_gpu(method=method, train="last-stage", epochs=1))
    values = [number(text) for row in log(run) for text in row.values() if text]
    assert np.isfinite(values).all()


@pytest.mark.parametrize("method", ["baseline", "res-g", "res-l", "gradia", "auto", "rrr"])
def test_same_run_as_on_the_cpu(method: str, options: RunOptions, on_gpu: RunOptions, tmp_path: Path) -> None:
    # The method auto completes annotations on the features of a frozen part.
    network = {"train": "last-stage"} if method == "auto" else {"backbone": "small_runs:plain"}
    changes = {"method": method, "weighting": "fixed", **network}
    there = train(on_gpu(out=tmp_path / "gpu", **changes))
    here = train(options(out=tmp_path / "cpu", **changes))
    assert_close_logs(there, here, tolerance=0.02)


@pytest.mark.parametrize("precision", ["32", "bf16", "fp16"])
def test_a_run_is_evaluated_as_on_the_cpu(precision: str, on_gpu: RunOptions, tmp_path: Path) -> None:
    run = train(on_gpu(method="res-g", precision=precision))
    folders = [
        evaluate(run.path, device=device, out=tmp_path / device, progress=False) for device in ("cpu", "auto")
    ]
    there, here = (json.loads((folder / "metrics.json").read_text()) for folder in folders)
    for name in ("accuracy", "iou", "epg"):
        assert there[name]["value"] == pytest.approx(here[name]["value"], abs=0.02)
    maps = [np.load(folder / "explanations.npz")["explanation"] for folder in folders]
    np.testing.assert_allclose(*maps, rtol=1e-2, atol=1e-3)


def test_features_computed_once_change_nothing(on_gpu: RunOptions, tmp_path: Path) -> None:
    changes = {"method": "res-g", "train": "last-stage"}
    cached = train(on_gpu(out=tmp_path / "cached", **changes))
    whole = train(on_gpu(out=tmp_path / "whole", cache_features=False, **changes))
    assert_close_logs(cached, whole, tolerance=0.02)


def test_a_run_goes_on_where_it_stopped(
    on_gpu: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(on_gpu(out=tmp_path / "straight", method="res-l"))
    stopped = on_gpu(out=tmp_path / "stopped", method="res-l")
    with monkeypatch.context() as patch:
        kill_in_step(patch, step=3)  # in the second epoch
        with pytest.raises(Killed):
            train(stopped)
    assert_close_logs(train(replace(stopped, resume=True)), straight, tolerance=0.02)


def test_many_runs_at_once(on_gpu: RunOptions, tmp_path: Path) -> None:
    configs = [
        on_gpu(out=tmp_path / f"{method}-{seed}", method=method, seed=seed, train="head", weighting="fixed")
        for method in ("baseline", "res-g", "energy")
        for seed in (0, 1)
    ]
    for together, config in zip(train_many(configs), configs, strict=True):
        alone = train(replace(config, out=tmp_path / "alone" / together.path.name))
        assert_close_logs(together, alone, tolerance=0.02)


def test_a_compiled_run(on_gpu: RunOptions, tmp_path: Path) -> None:
    eager = train(on_gpu(out=tmp_path / "eager", method="res-g"))
    compiled = train(on_gpu(out=tmp_path / "compiled", method="res-g", compile=True))
    assert_close_logs(compiled, eager, tolerance=0.05)
