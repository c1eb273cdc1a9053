from pathlib import Path

import pytest
from commands_typed import SMALL, Outcome, Type

from lookright import cli


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command; gives the exit code and what was printed."""

    def run(*arguments: object) -> Outcome:
        code = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, trained by the command line. Not to be changed."""
    out = tmp_path_factory.mktemp("cli") / "run"
    cli.main(["train", str(digits), "--out", str(out), *SMALL])
    return out
