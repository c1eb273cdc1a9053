from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import small

from lookright.config import TrainConfig
from lookright.engine.evaluate import evaluate
from lookright.engine.train import train


@pytest.fixture
def options(digits: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Options of a small run in tmp_path / "run", with the given changes."""
    return lambda **changes: small(digits, changes.pop("out", tmp_path / "run"), **changes)


@pytest.fixture(scope="session")
def finished(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, evaluated on test. Not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(small(digits, out, method="res-g"))
    evaluate(out, device="cpu", progress=False)
    return out
