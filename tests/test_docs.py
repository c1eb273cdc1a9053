"""What the documents show has to run: every Python block, every command line."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lookright import GradCAM
from lookright.cli import make_parser
from lookright.config import TrainConfig
from lookright.models import create

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def surroundings() -> dict[str, Any]:
    """What a reader of the documents has: a model, a loader of four fields, an optimizer."""
    torch.manual_seed(0)
    model = create("small_cnn", num_classes=2).network
    annotation = torch.zeros(4, 1, 64, 64)
    annotation[..., :32, :32], annotation[..., 32:, 32:] = 1, -1
    batch = (
        torch.rand(4, 3, 64, 64),
        torch.tensor([0, 1, 0, 1]),
        annotation,
        torch.tensor([True] * 3 + [False]),
    )
    return {"model": model, "loader": [batch] * 2, "optimizer": torch.optim.Adam(model.parameters(), 1e-3)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, for as long as a test lasts."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_python_blocks_run(document: Path, folder: Path) -> None:
    for code in blocks(document, "python"):
        if file := re.match(r"# (\w+\.py)\n", code):  # later blocks import from it
            (folder / file[1]).write_text(code, encoding="utf-8")
        scope = surroundings()
        exec(compile(code, str(document), "exec"), scope)
        for value in scope.values():  # a loss or an explainer that a page defines has to work
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == "builtins":
                explanation, annotation = torch.rand(2, 1, 4, 4), -torch.ones(2, 1, 32, 32)
                assert value()(explanation, annotation) > 0
            elif isinstance(value, type) and value.__name__.endswith("CAM") and value is not GradCAM:
                image, label = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
                if not getattr(value, "__abstractmethods__", None):
                    assert value(scope["model"], image_size=64)(image, label).explanation.shape[0] == 2


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_are_commands(document: Path) -> None:
    for block in blocks(document, "sh") + blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "lookright":
                make_parser().parse_args(words[1:])


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document}: {target}"


def test_the_ten_lines_train() -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    scope = surroundings()
    before = [p.detach().clone() for p in scope["model"].parameters()]
    exec(compile(code, "README.md", "exec"), scope)
    assert any(not torch.equal(a, b) for a, b in zip(before, scope["model"].parameters(), strict=True))
    assert TrainConfig().method == "res-g"  # what the README's own photos are trained with by default
