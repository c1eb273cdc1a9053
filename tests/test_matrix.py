"""Every family of networks with every explainer and order gives what docs/matrix.md says."""

from pathlib import Path

import pytest

from matrix import row
from networks import FAMILIES

PAGE = Path(__file__).parent.parent / "docs" / "matrix.md"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_says_what_happens(family: str) -> None:
    line, _ = row(family)
    assert line in PAGE.read_text(encoding="utf-8").splitlines(), "python tests/matrix.py > docs/matrix.md"
