from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_made import Page, write_photos

from lookright.annotate.open_project import open_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of six photos, for the test alone."""
    return write_photos(tmp_path / "data")


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    """The API of that folder, annotated by anna."""
    project = open_project(folder, annotator="anna")
    yield Page(project)
    project.close()
