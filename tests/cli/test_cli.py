"""The command line: what newcomers type."""

import csv
import json
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands_typed import SMALL, Type, is_one_line

from lookright import __version__, cli
from lookright.config import TrainConfig, option_name
from lookright.data.readers import READERS
from lookright.engine.run_folder import RunFolder
from lookright.explainers import EXPLAINERS
from lookright.losses import METHODS

# Help


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str, typed: Type) -> None:
    told = typed(command, "--help")
    assert told.code == 0
    assert told.out.startswith(f"usage: lookright {command}")
    assert "Traceback" not in told.err
    assert not any(word in told.out for word in ("typing.", "<class '", "NoneType", "ActionYesNo"))


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("methods", "methods [NAME]"),
        ("backbones", "backbones [NAME]"),
        ("export", "export RUN [--out DIR]"),  # without the bare options that jsonargparse adds
        ("cache", "cache [--clear] [--cache-dir DIR]"),
    ],
)
def test_the_usage_line_is_what_was_written(command: str, usage: str, typed: Type) -> None:
    assert typed(command, "--help").out.splitlines()[0] == f"usage: lookright {usage}"


def test_help_of_all(typed: Type) -> None:
    for arguments in ((), ("--help",)):
        told = typed(*arguments)
        assert told.code == 0
        assert all(f"\n    {command} " in told.out for command in cli.COMMANDS)
        assert "Start with: lookright demo" in told.out


def test_help_of_train_explains_every_option_and_its_default(typed: Type) -> None:
    told = " ".join(typed("train", "--help").out.split())
    for f in fields(TrainConfig):
        if f.name != "data":
            assert "--" + option_name(f.name).replace("_", "-") in told
        assert f.metadata["help"].split()[0] in told
    assert "(default: 30)" in told
    assert "folders, coco, voc, labelme, label-studio, cvat, res, module.reader of your own" in told
    assert all(f"{name}, " in told for name in READERS)


def test_version(typed: Type) -> None:
    assert typed("--version").out == f"lookright {__version__}\n"


# What there is


def test_methods(typed: Type) -> None:
    told = typed("methods").out
    assert all(f"\n{name} " in "\n" + told for name in (*METHODS, *EXPLAINERS))
    assert "'lookright methods NAME'" in told
    one = typed("methods", "res-g").out
    assert one.startswith(
        "method res-g: slack, adaptive threshold, Gaussian imputer\nRES: Gao et al., KDD 2022\n"
    )
    assert "\n  slack=0.1 " in one
    assert "[--slack]" in one
    assert typed("methods", "--markdown").out.startswith("# Methods\n")


def test_backbones(typed: Type) -> None:
    assert "tf_efficientnet_lite0" in typed("backbones").out
    some = typed("backbones", "resnet1").out
    assert "resnet18" in some
    assert "convnext" not in some
    one = typed("backbones", "small_cnn").out
    assert "target layer" in one
    assert "features" in one
    assert typed("backbones", "no such network").code == 2


def test_check(digits: Path, typed: Type) -> None:
    told = typed("check", digits)
    assert told.code == 0
    assert "100 readable images, 10 classes" in told.out
    assert any(line.split() == ["0", "train", "4", "4", "4", "4"] for line in told.out.splitlines())


# Train, evaluate, use


def test_train_says_what_comes_next(digits: Path, tmp_path: Path, typed: Type) -> None:
    out = tmp_path / "a run"
    command = ["train", str(digits), "--out", str(out), *SMALL, "--method", "evidence"]
    told = typed(*command)
    assert told.code == 0
    assert told.out.splitlines()[-1] == (
        f"{out}: 1 epoch in {RunFolder(out).facts()['seconds']:.0f} s, best epoch 0. "
        f"Next: lookright evaluate '{out}'"
    )
    assert RunFolder(out).facts()["command"] == shlex.join(["lookright", *command])
    assert RunFolder(out).config().method == "evidence"


def test_evaluate_prints_the_figures(run: Path, typed: Type, tmp_path: Path) -> None:
    told = typed("evaluate", run, "--out", tmp_path / "there", "--device", "cpu")
    assert told.code == 0
    figures = json.loads((tmp_path / "there" / "metrics.json").read_text())
    lines = {line.split()[0]: line.split()[1:] for line in told.out.splitlines()}
    for name in ("accuracy", "auroc", "iou", "pointing_game"):
        assert lines[name] == [f"{figures[name]['value']:.3f}", f"({figures[name]['n']}", "images)"]
    assert told.out.splitlines()[-1] == f"written to {tmp_path / 'there'}"


def test_explain_writes_and_does_not_overwrite(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    photo = next((digits / "images" / "4").glob("*.png"))
    arguments = ("explain", run, photo, "--out", tmp_path / "maps")
    told = typed(*arguments)
    assert told.code == 0
    assert told.out.startswith(f"{photo}: ")
    assert np.load(tmp_path / "maps" / f"{photo.stem}.npy", allow_pickle=False).shape == (8, 8)
    again = typed(*arguments)
    assert again.code == 2
    assert is_one_line(again.err)
    assert f"{photo.stem}.png exists; choose another folder, or --overwrite it" in again.err
    assert typed(*arguments, "--overwrite").code == 0


def test_explain_tells_photos_of_one_name_apart(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    one = next((digits / "images" / "4").glob("*.png"))
    other = tmp_path / one.name
    other.write_bytes(one.read_bytes())
    told = typed("explain", run, one, other, "--out", tmp_path / "maps")
    assert told.code == 2
    assert is_one_line(told.err)
    assert not (tmp_path / "maps").exists()


def test_photos_of_a_folder_are_explained(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    photos = tmp_path / "photos"
    for digit in ("3", "4"):
        for photo in sorted((digits / "images" / digit).glob("*.png"))[:2]:
            (photos / digit).mkdir(parents=True, exist_ok=True)
            (photos / digit / photo.name).write_bytes(photo.read_bytes())
    (photos / "notes.txt").touch()
    names = sorted(file.relative_to(photos).as_posix() for file in photos.rglob("*.png"))
    arguments = ("explain", run, photos, "--out", photos / "maps", "--overwrite")
    for _ in range(2):  # maps that lie in the folder are no photos
        told = typed(*arguments)
        assert told.code == 0
        assert [line.split(": ")[0] for line in told.out.splitlines()] == [str(photos / n) for n in names]
    assert sorted(f.relative_to(photos / "maps").as_posix() for f in photos.glob("maps/*/*.png")) == names
    over = typed("explain", run, photos / "3", "--out", photos / "3", "--overwrite")
    assert over.code == 2
    assert "is a photo, and a map would be written over it" in over.err


def test_photos_of_a_folder_are_predicted(run: Path, digits: Path, typed: Type) -> None:
    told = typed("predict", run, digits / "images" / "4")
    assert told.code == 0
    found = [row["file"] for row in csv.DictReader(told.out.splitlines())]
    assert found == [str(file) for file in sorted((digits / "images" / "4").glob("*.png"))]


def test_predict_prints_or_writes_csv(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    photos = sorted((digits / "images" / "4").glob("*.png"))[:2]
    printed = typed("predict", run, *photos)
    assert printed.code == 0
    rows = list(csv.DictReader(printed.out.splitlines()))
    assert [row["file"] for row in rows] == list(map(str, photos))
    file = tmp_path / "predictions.csv"
    assert typed("predict", run, *photos, "--out", file).code == 0
    assert file.read_text() == printed.out
    again = typed("predict", run, *photos, "--out", file)
    assert again.code == 2
    assert is_one_line(again.err)
    assert typed("predict", run, *photos, "--out", file, "--overwrite").code == 0


def test_export(run: Path, tmp_path: Path, typed: Type) -> None:
    told = typed("export", run, "--out", tmp_path / "out", "--no-onnx")
    assert told.code == 0
    assert [line.split("/")[-1] for line in told.out.splitlines()] == ["weights.safetensors", "network.json"]
    assert typed("export", run, "--out", tmp_path / "out", "--no-onnx").code == 2


def test_from_a_run(run: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    told = typed("train", digits, "--out", tmp_path / "next", *SMALL, "--from", run, "--train", "head")
    assert told.code == 0
    assert RunFolder(tmp_path / "next").config().start == run


def test_warnings_are_one_line_on_stderr(digits: Path, tmp_path: Path, typed: Type) -> None:
    told = typed("train", digits, "--out", tmp_path / "run", *SMALL, "--train", "all", "--no-second-order")
    assert told.code == 0
    assert "lookright: warning: the explanation loss does not reach 1 of 4 trained weights" in told.err


# Options from a file


@pytest.mark.parametrize(
    "text", ["batch_size: 7\nfrom: null\n", "batch-size: 7\n"], ids=["under_scores", "dashes"]
)
def test_options_from_yaml(text: str, digits: Path, tmp_path: Path, typed: Type) -> None:
    (tmp_path / "options.yaml").write_text(text + "method: res-l\n")
    told = typed("train", digits, "--config", tmp_path / "options.yaml", "--print_config")
    printed = yaml.safe_load(told.out)
    assert (printed["batch_size"], printed["method"]) == (7, "res-l")


def test_later_options_win(digits: Path, tmp_path: Path, typed: Type) -> None:
    (tmp_path / "options.yaml").write_text("epochs: 7\nlr: 0.5\n")
    told = typed("train", digits, "--config", tmp_path / "options.yaml", "--epochs", 3, "--print_config")
    printed = yaml.safe_load(told.out)
    assert (printed["epochs"], printed["lr"]) == (3, 0.5)


def test_printed_options_read_back_are_the_same(digits: Path, tmp_path: Path, typed: Type) -> None:
    chosen = shlex.split(
        "--out there --method res-l --imputer d2 --slack 0 --threshold 0.25 --no-flip --no-impute "
        "--patience 3 --negative-categories background 'two words' --annotated-per-class 1 "
        "--train head --tensorboard --from some.safetensors --lr 1e-5 --precision bf16"
    )
    printed = typed("train", digits, *chosen, "--print_config")
    assert printed.code == 0
    (tmp_path / "options.yaml").write_text(printed.out)
    again = typed("train", "--config", tmp_path / "options.yaml", "--print_config")
    assert again.out == printed.out
    found = yaml.safe_load(printed.out)
    assert found["negative_categories"] == ["background", "two words"]
    assert (found["flip"], found["impute"], found["tensorboard"], found["lr"]) == (False, False, True, 1e-5)


def test_the_options_of_a_run_start_the_same_run(run: Path, tmp_path: Path, typed: Type) -> None:
    out = tmp_path / "again"
    assert typed("train", "--config", run / "config.yaml", "--out", out).code == 0
    old, new = RunFolder(run), RunFolder(out)
    assert [line.rsplit(",", 1)[0] for line in old.log_file.read_text().splitlines()] == [
        line.rsplit(",", 1)[0] for line in new.log_file.read_text().splitlines()
    ]
