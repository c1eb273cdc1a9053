"""What newcomers mistype: exit code 2 and one line, never a traceback."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_typed import SMALL, Type, is_one_line

from lookright import cli
from lookright.cli import parser
from lookright.engine.run_folder import RunFolder

MISTAKES = {
    "unknown command": ("tain", "invalid choice: 'tain'"),
    "unknown option": ("train {data} --epcohs 3", "unknown option --epcohs; did you mean --epochs?"),
    "unknown option of all": ("--bogus", "--bogus"),
    "unlike any option": ("evaluate {run} --xyz", "unknown option --xyz; see --help"),
    "no data, no run folder": ("train", "data: missing; give the folder of your images; out: missing"),
    "no run folder": ("train {data}", "out: missing; give the run folder to write"),
    "no such data": ("train /nowhere --out {new}", "/nowhere: the data folder does not exist"),
    "no images": ("check {empty}", "{empty}"),
    "bad choice": ("train {data} --best iou", "best: got iou, choose one of 'performance'"),
    "no such method": (
        "train {data} --out {new} {small} --method resg",
        "method: got 'resg' (close: res-g, res-l), choose one of baseline, ",
    ),
    "a sum with a typo": (
        "train {data} --out {new} {small} --method res-g+0.3*evidnce",
        "method: got 'evidnce' (close: evidence), choose one of baseline, ",
    ),
    "half a sum": (
        "train {data} --out {new} {small} --method res-g+",
        "method: got 'res-g+': expected a name",
    ),
    "a sum of weights": (
        "train {data} --out {new} {small} --method res-g*2",
        "a weight stands before its name",
    ),
    "a name for a sum with options": (
        "train {data} --out {new} {small} --method auto(x=1)",
        "method: auto has no options; it stands for 'complete + isolate + evidence + ",
    ),
    "no such data set to prepare": (
        "data prepare scenes --out {new}",
        "argument NAME: invalid choice: 'scenes' (choose from",
    ),
    "no such option of a method": (
        "train {data} --out {new} {small} --method res-g(slak=0)",
        "method: res-g has no option 'slak'; it has slack, threshold, impute, per_image",
    ),
    "no option at all": (
        "train {data} --out {new} {small} --method baseline(x=0)",
        "method: baseline has no option 'x', nor any other",
    ),
    "an option out of its range": (
        "train {data} --out {new} {small} --method res-g(slack=-1)",
        "slack: got -1, need 0 or more",
    ),
    "an option of another kind": (
        "train {data} --out {new} {small} --method res-g(slack=much)",
        "method: res-g(slack='much'): need a number",
    ),
    "a choice of an option": (
        "train {data} --out {new} {small} --method evidence(outside=nowhere)",
        "outside: got 'nowhere', choose one of complement, negative",
    ),
    "no such explainer": (
        "train {data} --out {new} {small} --explainer gradcam",
        "explainer: got 'gradcam' (close: grad-cam, xgrad-cam, cam), choose one of grad-cam, ",
    ),
    "no such option of an explainer": (
        "train {data} --out {new} {small} --explainer smooth-grad(sample=2)",
        "explainer: smooth-grad has no option 'sample'; it has samples, noise, chunk",
    ),
    "attention without a transformer": (
        "train {data} --out {new} {small} --explainer attention-rollout",
        "explainer: no attention was seen in this network",
    ),
    "a method without a transformer": (
        "train {data} --out {new} {small} --method robust-vit",
        "explainer: no attention was seen in this network",
    ),
    "an explainer of regions": (
        "train {data} --out {new} {small} --explainer output-bounds",
        "explainer: OutputBounds explains a part of the image",
    ),
    "decomposition of SiLU": (
        "train {data} --out {new} {small} --backbone own_loss:silu --method cdep",
        "contextual decomposition does not pass module '1' (SiLU)",
    ),
    "no such module": (
        "train {data} --out {new} {small} --method nowhere.Loss",
        "method: 'nowhere.Loss': there is no module 'nowhere' to import it from",
    ),
    "a module close by": (
        "train {data} --out {new} {small} --method own_los.Loss",
        "there is no module 'own_los' to import it from (close: own_loss)",
    ),
    "no such class": (
        "train {data} --out {new} {small} --method own_loss.Hindge",
        "method: module 'own_loss' has no 'Hindge'; close: Hinge",
    ),
    "a class of the wrong kind": (
        "train {data} --out {new} {small} --method own_loss.NotALoss",
        "method: own_loss.NotALoss is a class of another kind; give a class derived from "
        "lookright.losses.ExplanationLoss",
    ),
    "a function for a class": (
        "train {data} --out {new} {small} --explainer own_loss.silu",
        "explainer: own_loss.silu is a function; give a class derived from lookright.explainers.Explainer",
    ),
    "an explainer as a method": (
        "train {data} --out {new} {small} --method lookright.GradCAM",
        "method: lookright.GradCAM is a class of another kind",
    ),
    "a loss that cannot be made": (
        "train {data} --out {new} {small} --method own_loss.Unmade",
        "method: own_loss.Unmade() failed: ValueError: not today (own_loss.py, line",
    ),
    "a loss that raises": (
        "train {data} --out {new} {small} --method res-g+own_loss.Raising",
        "method: Raising failed on a blank image: KeyError: 'here' (own_loss.py, line",
    ),
    "a loss of one number": (
        "train {data} --out {new} {small} --method own_loss.OneNumber",
        "OneNumber.per_sample: got shape (), need one value per image, (2,)",
    ),
    "a loss without a method": (
        "train {data} --out {new} {small} --method own_loss.Empty",
        "Empty must override per_sample or compute",
    ),
    "an explainer that raises": (
        "train {data} --out {new} {small} --method baseline --explainer own_loss.RaisingCAM",
        "explainer: RaisingCAM failed on a blank image: RuntimeError: no weights (own_loss.py, line",
    ),
    "an explainer without a method": (
        "train {data} --out {new} {small} --explainer own_loss.EmptyCAM",
        "explainer: own_loss.EmptyCAM(",
    ),
    "an explainer of the wrong shape": (
        "train {data} --out {new} {small} --method baseline --explainer own_loss.Flat",
        "explainer: Flat.explain gave shape (2, 32, 32), need (B, C, h, w)",
    ),
    "a broken module": (
        "train {data} --out {new} {small} --method own_broken.Loss",
        "method: importing 'own_broken' failed: SyntaxError: ",
    ),
    "no such format": (
        "train {data} --out {new} {small} --format cocoo",
        "format: got 'cocoo' (close: coco), choose one of folders, coco, voc, labelme, label-studio, cvat",
    ),
    "a reader that raises": (
        "train {data} --out {new} {small} --format own_loss.read_nothing",
        "format: own_loss.read_nothing(photos=..., config=...) failed: OSError: no file (own_loss.py, line",
    ),
    "a reader of other arguments": (
        "train {data} --out {new} {small} --format own_loss.silu",
        "format: own_loss.silu must take the argument photos, config, which it is given",
    ),
    "a reader of something else": (
        "train {data} --out {new} {small} --format own_loss.read_half",
        "format: own_loss.read_half gave a dict, need a pair",
    ),
    "a reader of other photos": (
        "train {data} --out {new} {small} --format own_loss.read_others",
        "format: own_loss.read_others gave marks for 'x.png', which is no photo; the id of one is 'images/",
    ),
    "nothing known about it": ("methods res", "name: got 'res' (close: res-"),
    "nothing like it": ("methods xyz", "choose one of baseline, "),
    "bad number": ("train {data} --epochs many", "epochs: got many, need a whole number"),
    "bad fraction": ("train {data} --lr fast", "lr: got fast, need a number"),
    "zero epochs": ("train {data} --out {new} --epochs 0", "epochs: got 0, need 1 or more"),
    "several at once": (
        "train {data} --out {new} --epochs 0 --lr -1 --batch-size 0",
        "epochs: got 0, need 1 or more; batch_size: got 0, need 1 or more; lr: got -1.0, need more than 0",
    ),
    "no such backbone": (
        "train {data} --out {new} --backbone resnet81",
        "backbone: 'resnet81': no such network",
    ),
    "no such layer": (
        "train {data} --out {new} {small} --target-layer x",
        "target_layer: the network has no 'x'",
    ),
    "no such weights": ("train {data} --out {new} {small} --weights x", "weights: got 'x'"),
    "bundled weights of another": ("train {data} --out {new} --backbone resnet18", "weights: 'bundled'"),
    "fp16 on a CPU": ("train {data} --out {new} {small} --precision fp16", "precision: fp16 needs a GPU"),
    "run folder in use": ("train {data} --out {run} {small}", "{run} holds a run already"),
    "resumed with other options": ("train {data} --out {run} {small} --resume --seed 9", "(seed 0 -> 9)"),
    "nothing to resume": ("train {data} --out {new} {small} --resume", "not a run folder"),
    "no such file of options": ("train --config /nowhere.yaml", "/nowhere.yaml"),
    "broken YAML": ("train {data} --config {broken}", "parsing"),
    "YAML of something else": ("train {data} --config {list}", "config"),
    "unknown option in YAML": ("train {data} --config {unknown}", "'epoks'"),
    "wrong value in YAML": ("train {data} --config {wrong}", "epochs: got many, need a whole number"),
    "from nowhere": ("train {data} --out {new} {small} --from /nowhere.pth", "/nowhere.pth: no such file"),
    "evaluate nothing": ("evaluate", "required: run"),
    "evaluate no run": ("evaluate {empty}", "{empty}: not a run folder"),
    "no such split": ("evaluate {run} --split tset", "no image is in split 'tset'"),
    "no batch": ("evaluate {run} --batch-size 0", "batch_size: got 0, need 1 or more"),
    "fewer workers than none": ("evaluate {run} --workers -1", "workers: got -1, need 0 or more"),
    "annotations without data": ("evaluate {run} --annotations x --format coco", "data: missing"),
    "explain nothing": ("explain {run} --out {new}", "required: images"),
    "explain to nowhere": ("explain {run} a.png", "required: out"),
    "no such photo": ("predict {run} /nowhere.png", "/nowhere.png: there is no such file"),
    "no photo in a folder": ("predict {run} {empty}", "{empty}: no image in this folder or below it (.bmp, "),
    "not a photo": ("predict {run} {broken}", "{broken}: cannot be read as an image"),
    "export no run": ("export /nowhere", "/nowhere: not a run folder"),
    "check nothing": ("check", "data: no data folder was named"),
}


OWN = """
from torch import nn
from lookright import CAM, ExplanationLoss
from lookright.data import Shapes
from lookright.explainers import Explainer, Needs


class Hinge(ExplanationLoss): ...


class NotALoss: ...


class Unmade(ExplanationLoss):
    def __init__(self):
        raise ValueError("not today")


class Raising(ExplanationLoss):
    def per_sample(self, explanation, annotation):
        return {}["here"]


class OneNumber(ExplanationLoss):
    def per_sample(self, explanation, annotation):
        return explanation.mean()


class Empty(ExplanationLoss): ...


class RaisingCAM(CAM):
    def weight(self, activation, gradient):
        raise RuntimeError("no weights")


class EmptyCAM(CAM): ...


class Flat(Explainer):
    needs = Needs(gradient=False)

    def explain(self, seen):
        return seen.image.mean(dim=1)


def silu(num_classes):
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), *head)


def read_nothing(photos, config):
    raise OSError("no file")


def read_half(photos, config):
    return {}


def read_others(photos, config):
    return {"x.png": Shapes(1, 1)}, []
"""
"""own_loss.py, in the folder where the commands are typed"""


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_loss.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("class Loss(:\n")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_loss", None)


@pytest.mark.usefixtures("own_modules")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    mistake: str, typed: Type, run: Path, digits: Path, tmp_path: Path
) -> None:
    files = {
        "broken": "epochs: [1, 2\n  x: {",
        "list": "- 1\n- 2\n",
        "unknown": "epoks: 3\n",
        "wrong": "epochs: many\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "empty").mkdir()
    words = {name: str(tmp_path / f"{name}.yaml") for name in files} | {
        "data": str(digits),
        "run": str(run),
        "new": str(tmp_path / "new"),
        "empty": str(tmp_path / "empty"),
        "small": " ".join(SMALL),
    }
    command, expected = MISTAKES[mistake]
    told = typed(*command.format(**words).split())
    assert told.code == 2
    assert "Traceback" not in told.err
    if command != "check {empty}":  # which prints what it found
        assert is_one_line(told.err), told.err
        assert told.out == ""
    assert expected.format(**words) in told.err + told.out
    assert not (tmp_path / "new").exists()


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.fail("config.yaml: damaged (while parsing\n  in line 1\n\n)")
    assert capsys.readouterr().err == "lookright: config.yaml: damaged (while parsing in line 1 )\n"


def test_a_damaged_run_is_one_line(run: Path, tmp_path: Path, typed: Type) -> None:
    copy = RunFolder(tmp_path / "copy")
    copy.path.mkdir()
    copy.config_file.write_text(RunFolder(run).config_file.read_text() + "epoks: [\n")
    told = typed("evaluate", copy.path)
    assert told.code == 2
    assert is_one_line(told.err)
    assert f"{copy.config_file}: damaged" in told.err


def test_an_interrupt_elsewhere(monkeypatch: pytest.MonkeyPatch, typed: Type) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "methods", (*cli.COMMANDS["methods"][:2], interrupted))
    told = typed("methods")
    assert told.code == 130
    assert told.err.strip() == "lookright: interrupted"
