from pathlib import Path

import pytest
from corner_photos import write_photos


@pytest.fixture(scope="session")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, one of them with a stamp in the corner. Not to be changed."""
    return write_photos(tmp_path_factory.mktemp("stamped") / "photos", masks=True)


@pytest.fixture(scope="session")
def unmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos without masks. Not to be changed."""
    return write_photos(tmp_path_factory.mktemp("unmarked") / "photos")
