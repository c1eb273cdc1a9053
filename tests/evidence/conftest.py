"""A grid small enough to be run in a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

GRID = {
    "prepare": {"digits": {"set": "digits", "per_class_train": 2, "per_class_val": 1, "per_class_test": 1}},
    "base": {
        "data": "digits",
        "backbone": "small_cnn",
        "weights": "none",
        "train": "all",
        "image_size": 32,
        "epochs": 1,
        "accelerator": "cpu",
    },
    "axes": {"method": ["baseline", "res-g"], "seed": [0]},
    "baseline": "baseline",
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the small grid with the given entries changed, and give its file."""

    def to_file(**changes: Any) -> Path:
        content: Mapping[str, Any] = GRID | changes
        file = tmp_path / "tiny.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file

    return to_file
