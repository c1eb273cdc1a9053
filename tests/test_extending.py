"""docs/extending.md: what it shows trains from the command line, with nothing changed here."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookright import cli
from lookright.describe import write_document
from lookright.describe.document import COMMAND
from lookright.engine.run_folder import RunFolder

DOCS = Path(__file__).parents[1] / "docs"
SMALL = "--backbone small_cnn --weights none --image-size 32 --epochs 1 --accelerator cpu --train all"

Type = Callable[..., tuple[int, str, str]]


def shown() -> dict[str, str]:
    """File name -> text: the blocks that begin with the name of a file."""
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(# (\w+\.py)\n.*?)```", text, flags=re.DOTALL)
    return {name: block for block, name in blocks}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, with the files of the page, and standing in it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in shown().items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Type:
    def run(text: str, **words: object) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(text.format(small=SMALL, **words).split())
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in another folder, in a fresh interpreter as far as the user's modules go."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_examples_are_short() -> None:
    assert sorted(shown()) == ["my_explainers.py", "my_losses.py", "my_readers.py"]
    for name, text in shown().items():
        assert len(text.splitlines()) - 1 <= 20, name  # the name of the file is no code


def test_methods_md_is_what_the_classes_say() -> None:
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert page == write_document(), f"docs/methods.md is out of date: run {COMMAND}"


@pytest.mark.parametrize("method", ["my_losses.Hinge", "res-g+0.5*my_losses.Hinge(margin=0.8)"])
def test_a_loss_trains_and_its_run_opens_anywhere(
    method: str, here: Path, digits: Path, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = typed("train {data} --out run --method {method} {small}", data=digits, method=method)
    assert code == 0, err
    assert RunFolder(here / "run").config().method == method
    row = RunFolder(here / "run").log_file.read_text().splitlines()
    assert float(dict(zip(row[0].split(","), row[1].split(","), strict=True))["explanation_loss"]) > 0
    assert typed("evaluate run --device cpu")[0] == 0
    elsewhere(here.parent / "other", monkeypatch)  # the loss is for training alone
    assert typed("evaluate {run} --device cpu", run=here / "run")[0] == 0


def test_an_explainer_trains_and_its_run_opens_from_its_folder(
    here: Path, digits: Path, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = "--explainer my_explainers.PositiveCAM"
    code, _, err = typed("train {data} --out run {what} {small}", data=digits, what=what)
    assert code == 0, err
    photo = next((digits / "images" / "4").glob("*.png"))
    assert typed("evaluate run --device cpu")[0] == 0
    assert typed("explain run {photo} --out maps", photo=photo)[0] == 0
    elsewhere(here.parent / "other", monkeypatch)
    for command in ("evaluate {run} --device cpu", "explain {run} {photo} --out maps"):
        code, out, err = typed(command, run=here / "run", photo=photo)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "explainer: 'my_explainers.PositiveCAM': there is no module 'my_explainers'" in err
        assert "type the command in the folder of my_explainers.py, or install it" in err


def test_a_reader_reads(here: Path, digits: Path, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    data = here / "data"
    shutil.copytree(digits, data, ignore=shutil.ignore_patterns("masks", "negatives"))
    photos = [path.relative_to(data).as_posix() for path in sorted((data / "images").rglob("*.png"))]
    head = "file,left,top,right,bottom,width,height"
    (here / "boxes.csv").write_text("\n".join([head, *(f"{photo},0,0,4,8,8,8" for photo in photos)]))
    annotations = "--annotations boxes.csv --format my_readers.read_boxes"
    code, out, err = typed("check data {annotations}", annotations=annotations)
    assert code == 0, err
    assert "positive area: 50.0% of the image" in out  # the left half of 8 x 8, on 32 x 32 pixels
    code, _, err = typed("train data --out run {annotations} {small}", annotations=annotations)
    assert code == 0, err
    assert typed("evaluate run --device cpu")[0] == 0
    elsewhere(here.parent / "other", monkeypatch)
    code, _, err = typed("evaluate {run} --device cpu", run=here / "run")
    assert (code, err.count("\n")) == (2, 1), err
    assert "format: 'my_readers.read_boxes': there is no module 'my_readers'" in err


def test_everything_about_a_class_of_ones_own(here: Path, typed: Type) -> None:
    code, out, err = typed("methods my_losses.Hinge")
    assert code == 0, err
    assert out.startswith("method my_losses.Hinge: Marked cells on their side of 1/2, by a margin: L = ")
    assert "margin=1.0            1 asks for 1 at the positive marks and 0 at the negative ones" in out
    assert 'lookright train DATA --out RUN --method "my_losses.Hinge(margin=1.0)"' in out
    code, out, err = typed("methods my_explainers.PositiveCAM")
    assert code == 0, err
    assert "second order" in out
    code, _, err = typed("methods my_readers.read_boxes")
    assert code == 2
    assert "name: my_readers.read_boxes is neither a class derived from lookright.ExplanationLoss" in err
