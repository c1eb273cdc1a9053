"""Imports go one way, and what answers at once does not wait for torch."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import lookright.data

SOURCE = Path(lookright.__file__).parent
CONTRACT = (
    *("errors", "choices", "types", "config", "prepare_config", "normalize", "precision", "resize", "files"),
    *("plugins", "specification"),
)
RANKS = (
    CONTRACT,
    ("data", "models", "losses", "metrics"),
    ("explainers",),
    ("engine",),
    ("report", "describe"),
    ("evidence", "audit"),
    ("annotate",),
    ("demo", "bench"),
    ("cli",),
)
RANK = {part: rank for rank, parts in enumerate(RANKS) for part in parts}
# Explanations need a network, so the explainers stand above the models; of the others they know nothing.
FORBIDDEN = {("explainers", "data"), ("explainers", "losses"), ("explainers", "metrics")}


def part_of(module: str) -> str:
    """Name of the part that holds `lookright.PART...`; empty for the package itself."""
    return [*module.split("."), ""][1]


def imports(file: Path) -> Iterator[str]:
    """Modules of lookright that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "lookright")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            if node.module and node.module.split(".")[0] == "lookright":
                names = [alias.name for alias in node.names] if node.module == "lookright" else []
                yield from (f"lookright.{name}" for name in names if name in RANK)
                yield node.module


FILES = sorted(file for file in SOURCE.rglob("*.py") if file != SOURCE / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_imports_go_one_way(file: Path) -> None:
    own = part_of("lookright." + file.relative_to(SOURCE).with_suffix("").as_posix().replace("/", "."))
    assert own in RANK, f"a part without a rank: {own}"
    for module in imports(file):
        part = part_of(module)
        if part in ("", own):  # the package itself imports nothing before it is asked
            continue
        within_contract = own in CONTRACT and part in CONTRACT
        assert RANK[part] < RANK[own] or within_contract, f"{own} must not import {module}"
        assert (own, part) not in FORBIDDEN, f"{own} must not import {module}"


def test_what_is_imported_is_declared() -> None:
    """And not only brought along by something else that is."""
    file = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=~ ]", each)[0].lower() for each in declared}
    packages = packages_distributions()
    for module in foreign_modules() - set(sys.stdlib_module_names):
        found = {name.lower() for name in packages.get(module, [module])}
        assert found & names, f"{module} is imported and not declared"


def foreign_modules() -> set[str]:
    """What our files import of others, wherever in them."""
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - {"lookright"}


def test_every_part_is_there() -> None:
    there = {part_of(f"lookright.{file.relative_to(SOURCE).parts[0].removesuffix('.py')}") for file in FILES}
    assert there == set(RANK)


def test_help_and_options_do_not_wait_for_torch() -> None:
    code = """
import contextlib, io, sys
import lookright, lookright.config, lookright.errors, lookright.cli
assert lookright.__version__
for arguments in (["--help"], ["--version"], ["train", "--help"], ["evaluate", "--help"],
                  ["annotate", "--help"],
                  ["train", "DATA", "--print_config"], ["train", "DATA", "--epoks", "3"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            lookright.cli.main(arguments)
        except SystemExit:
            pass
heavy = {"torch", "torchvision", "timm", "sklearn", "lightning_fabric", "numpy", "matplotlib", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", [lookright, lookright.data])
def test_every_public_name_is_found(package: ModuleType) -> None:
    for name in package.__all__:
        found = getattr(package, name)
        assert getattr(found, "__name__", name) == name
        assert not isinstance(found, ModuleType)
    assert set(package.__all__) < set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_data_is_read_without_torch() -> None:
    code = "import sys, lookright.data; print('torch' in sys.modules, lookright.data.collate.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "collate"]


def test_every_public_name_has_a_runnable_example() -> None:
    assert [name for name in lookright.__all__ if ">>>" not in (getattr(lookright, name).__doc__ or "")] == []
