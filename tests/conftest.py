"""Where the tests find what is not in the repository: real photos and golden values."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from lookright.data import write_decoy_digits
from surroundings import forget

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED = Path(__file__).parents[2] / "shared"
CHROMIUM = Path("/usr/bin/chromium")
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


def pytest_configure(config: pytest.Config) -> None:
    forget(os.environ)
    # Two workers on two cores: one thread each is fastest, and the same sums come out everywhere.
    torch.set_num_threads(1)
    if not hasattr(config, "workerinput"):  # xdist's workers have their parent's
        folder = tempfile.TemporaryDirectory(prefix="lookright-cache-")
        config.add_cleanup(folder.cleanup)
        os.environ["LOOKRIGHT_CACHE"] = folder.name


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos with masks (LOOKRIGHT_DATA, by default ../shared/data)."""
    folder = Path(os.environ.get("LOOKRIGHT_DATA", SHARED / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos in {folder}: set LOOKRIGHT_DATA to the folder that holds gender_coco/")
    return folder


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The GPU that PyTorch sees, in float32 as exact as a CPU."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of values that the published RES code computed (../shared/golden)."""
    folder = Path(os.environ.get("LOOKRIGHT_GOLDEN", SHARED / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no golden values in {folder}: set LOOKRIGHT_GOLDEN to the folder that holds res_g.npz")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of decoy digits, ten classes: 40 images in train, 20 in val, test and test_decoy each.

    Not to be changed.
    """
    folder = tmp_path_factory.mktemp("digits") / "data"
    return write_decoy_digits(folder, per_class_train=4, per_class_val=2, per_class_test=2)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Debian's chromium, driven by Playwright."""
    reason = "playwright is not installed (extra 'dev')"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()
