"""What newcomers mistype: exit code 2 and one line, never a traceback."""

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
    "bad choice": ("train {data} --method resg", "method: got resg, choose one of 'baseline'"),
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
    "annotations without data": ("evaluate {run} --annotations x --format coco", "data: missing"),
    "explain nothing": ("explain {run} --out {new}", "required: images"),
    "explain to nowhere": ("explain {run} a.png", "required: out"),
    "no such photo": ("predict {run} /nowhere.png", "/nowhere.png: there is no such file"),
    "not a photo": ("predict {run} {broken}", "{broken}: cannot be read as an image"),
    "export no run": ("export /nowhere", "/nowhere: not a run folder"),
    "check nothing": ("check", "data: no data folder was named"),
}


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
