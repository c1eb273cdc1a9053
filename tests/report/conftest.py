"""Synthetic runs for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_runs import METHODS, Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty workshop with data."""
    workshop = Workshop(tmp_path)
    workshop.make_data()
    return workshop


@pytest.fixture(scope="session")
def six_methods(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Run folders of six methods x two seeds, with the shortcut kept and taken away. Not to be changed."""
    workshop = Workshop(tmp_path_factory.mktemp("runs"))
    workshop.make_data()
    return [workshop.make_run(f"{m}-{seed}", m, seed, decoy=True) for m in METHODS for seed in (0, 1)]
