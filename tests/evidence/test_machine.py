"""What a run was computed by."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookright.evidence import machine


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    machine.commit.cache_clear()
    yield
    machine.commit.cache_clear()


@pytest.mark.skipif(not (Path(__file__).parents[2] / ".git").exists(), reason="no git checkout")
def test_the_commit_of_this_checkout() -> None:
    found = machine.commit()
    asked = ["git", "rev-parse", "HEAD"]
    whole = subprocess.run(asked, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    assert len(found) >= 7
    assert whole.stdout.startswith(found.removesuffix("+"))


def test_nothing_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(machine.subprocess, "run", no_git)
    assert machine.commit() == ""


def test_the_checkout_of_somebody_else_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed into a folder that lies in another project's checkout."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    (tmp_path / "machine.py").touch()
    assert machine.commit() == ""
