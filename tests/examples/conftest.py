"""The examples import each other by name, as scripts of one folder do."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import an example by its name."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


@pytest.fixture
def run(example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run an example as a command."""

    def typed(name: str, *words: object) -> None:
        module = example(name)
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, words)])
        module.main()

    return typed
