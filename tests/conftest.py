"""Where the tests find what is not in the repository: real photos and golden values."""

import os
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    # Two workers on two cores: one thread each is fastest, and the same sums come out everywhere.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos with masks (LOOKRIGHT_DATA, by default ../shared/data)."""
    folder = Path(os.environ.get("LOOKRIGHT_DATA", SHARED / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos in {folder}: set LOOKRIGHT_DATA to the folder that holds gender_coco/")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of values that the published RES code computed (../shared/golden)."""
    folder = Path(os.environ.get("LOOKRIGHT_GOLDEN", SHARED / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no golden values in {folder}: set LOOKRIGHT_GOLDEN to the folder that holds res_g.npz")
    return folder
