"""What the documents show has to run: every Python block, every command line.

Blocks are fenced as what they are: python is run, of py (which needs a run, or shards) the imports are, sh is
parsed.
"""

import ast
import importlib
import re
import shlex
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lookright import GradCAM
from lookright.cli import make_parser as lookright_parser
from lookright.cli.parser import refuse_unknown
from lookright.config import TrainConfig
from lookright.models import create

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)


def blocks(document: Path, language: str) -> list[str]:
    fences = FENCE.finditer(document.read_text(encoding="utf-8"))
    return [fence[2] for fence in fences if fence[1] == language]


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
def folder(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a data folder DATA in it, that Python imports from, for as long as a test lasts."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DATA").symlink_to(digits)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


@every_document
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


@every_document
def test_code_is_fenced_as_what_it_is(document: Path) -> None:
    """What is not fenced, or as something else, is read by no test."""
    text = document.read_text(encoding="utf-8")
    assert {fence[1] for fence in FENCE.finditer(text)} <= {"python", "py", "sh", "text", "yaml"}
    indented = re.findall(r"^ {4,}(?:lookright|python|make|torchrun|pip|from|import) .*", prose(text), re.M)
    assert indented == []


@every_document
def test_python_blocks_that_need_a_run_import_what_there_is(document: Path) -> None:
    for code in blocks(document, "py"):
        tree = ast.parse(code)
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imports
        exec(compile(ast.Module(imports, []), str(document), "exec"), {})


@every_document
def test_commands_are_commands(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                check_command(words)


def check_command(words: list[str]) -> None:
    """Parse a command as it would be parsed if it were typed."""
    program, *arguments = words
    match program.removeprefix(".venv/bin/"):
        case "lookright":
            parser = lookright_parser(arguments[:1])
            refuse_unknown(parser, arguments)  # the parser itself takes them for values
            parser.parse_args(arguments)
        case "python" if arguments[0] == "-m":
            module = f"{arguments[1]}.__main__" if arguments[1] == "lookright.bench" else arguments[1]
            importlib.import_module(module).make_parser().parse_args(arguments[2:])
        case "python":
            example = re.fullmatch(r"examples/(\w+)\.py", arguments[0])
            assert example, words
            importlib.import_module(example[1]).make_parser().parse_args(arguments[1:])
        case "torchrun":
            assert "-m" in arguments
            check_command(["lookright", *arguments[arguments.index("lookright.cli") + 1 :]])
        case "srun":
            check_command(arguments[arguments.index("lookright") :])
        case "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
            assert {*arguments} <= {*targets}, words
        case "pip":
            extras = re.findall(r"\[(.*?)\]", " ".join(arguments))
            known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            assert {*extras[0].split(",")} <= {*known["project"]["optional-dependencies"]}
        case _:
            assert program in (".", "export"), words


def test_a_mistake_in_a_command_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    for wrong in (
        "lookright trian DATA",
        "python examples/compare_methods.py DATA --epcohs 3",
        ".venv/bin/python -m lookright.bench --onyl step",
        "torchrun --nproc_per_node 4 -m lookright.cli train DATA --outt RUN",
        "make demmo",
        "pip install -e '.[weigths]'",
        "lookrihgt check photos",
    ):
        with pytest.raises((SystemExit, AssertionError)):
            check_command(shlex.split(wrong))


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)]+)\)", prose(document.read_text(encoding="utf-8"))):
            if target.startswith("http"):
                continue
            file, _, anchor = target.partition("#")
            place = document.parent / file if file else document
            assert place.exists(), f"{document}: {target}"
            assert not anchor or anchor in anchors(place), f"{document}: {target}"


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", text)


def anchors(document: Path) -> set[str]:
    """What GitHub calls the headings of a page in a link."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ +(.*?) *$", prose(document.read_text(encoding="utf-8")), re.M):
        text = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def test_the_ten_lines_train() -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    scope = surroundings()
    before = [p.detach().clone() for p in scope["model"].parameters()]
    exec(compile(code, "README.md", "exec"), scope)
    assert any(not torch.equal(a, b) for a, b in zip(before, scope["model"].parameters(), strict=True))
    assert TrainConfig().method == "res-g"  # what the README's own photos are trained with by default
