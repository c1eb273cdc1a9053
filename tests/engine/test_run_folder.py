import csv
import json
from dataclasses import fields, replace
from pathlib import Path
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from lookright.config import TrainConfig, option_name
from lookright.engine.run_folder import RunFolder, from_options, to_options
from lookright.errors import CheckpointError, ConfigError

HINTS = get_type_hints(TrainConfig)


def other_value(name: str) -> object:
    """A value of the field's type that is not its default."""
    default, hint = getattr(TrainConfig(), name), HINTS[name]
    if isinstance(hint, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is Literal:
        return next(value for value in get_args(hint) if value != default)
    if hint == list[str]:
        return ["yes", "two words", "é"]
    if hint is bool:
        return not default
    return {int: 7, float: 1e-7, str: "no", Path: Path("a folder/é")}[hint]


@pytest.mark.parametrize("field", [f.name for f in fields(TrainConfig) if f.name != "resume"])
def test_every_option_survives_the_file(field: str, tmp_path: Path) -> None:
    config = replace(TrainConfig(data=Path("d"), out=tmp_path), **{field: other_value(field)})
    assert config != TrainConfig(data=Path("d"), out=tmp_path)
    text = yaml.safe_dump(to_options(config), allow_unicode=True)
    assert from_options(yaml.safe_load(text)) == config
    folder = RunFolder(tmp_path / "run")
    folder.create(config)
    # Paths become absolute: the run is found again from any folder.
    places = {name: value.resolve() for name, value in vars(config).items() if isinstance(value, Path)}
    assert folder.config() == replace(config, **places)


def test_resuming_is_not_an_option_of_the_run() -> None:
    assert "resume" not in to_options(TrainConfig(resume=True))


def test_names_are_those_of_the_command_line() -> None:
    assert list(to_options(TrainConfig())) == [
        option_name(f.name) for f in fields(TrainConfig) if f.name != "resume"
    ]
    assert "from" in to_options(TrainConfig())


def test_an_option_that_an_older_version_did_not_know_has_its_default() -> None:
    assert from_options({"data": "d"}) == TrainConfig(data=Path("d"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoks: 3", "unknown option epoks"),
        ("start: a", "unknown option start"),
        ("epochs: many", "epochs: 'many'"),
        ("epochs: 2.5", "epochs: 2.5"),
        ("epochs: true", "epochs: True"),
        ("flip: 1", "flip: 1"),
        ("best: never", "best: 'never'"),
        ("lr: fast", "lr: 'fast'"),
        ("data: 3", "data: 3"),
        ("patience: soon", "patience: 'soon'"),
        ("negative_categories: person", "negative_categories: 'person'"),
        ("- 1\n- 2", "damaged"),
        ("just text", "damaged"),
        ("", "damaged"),
        ("epochs: [1", "damaged"),
        ("data: \x00", "damaged"),
    ],
)
def test_damaged_options_are_said(tmp_path: Path, text: str, told: str) -> None:
    folder = RunFolder(tmp_path)
    folder.config_file.write_text(text)
    with pytest.raises(CheckpointError) as error:
        folder.config()
    assert told in str(error.value)
    assert str(folder.config_file) in str(error.value)


def test_options_that_are_no_text(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.config_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="damaged"):
        folder.config()


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        RunFolder(tmp_path / "nowhere").config()


@pytest.mark.parametrize("content", [None, "", "{", '["a"'])
def test_damaged_facts(tmp_path: Path, content: str | None) -> None:
    folder = RunFolder(tmp_path)
    if content is not None:
        folder.facts_file.write_text(content)
    with pytest.raises(CheckpointError, match="missing or damaged") as error:
        folder.facts()
    assert str(folder.facts_file) in str(error.value)


def test_facts_round_trip(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_facts({"classes": ["é"], "best_value": None})
    assert folder.facts() == {"classes": ["é"], "best_value": None}
    assert json.loads(folder.facts_file.read_text()) == folder.facts()


def test_log_has_every_column_that_a_row_has(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_log([{"epoch": 0, "loss": 0.1}, {"epoch": 1, "loss": 1 / 3, "val_iou": None, "alpha": 0.2}])
    with folder.log_file.open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"epoch": "0", "loss": "0.1", "val_iou": "", "alpha": ""}
    assert float(rows[1]["loss"]) == 1 / 3


@pytest.mark.parametrize("there", ["run", "files", "a file"])
def test_a_folder_in_use_is_refused_and_untouched(tmp_path: Path, there: str) -> None:
    folder = RunFolder(tmp_path / "run")
    config = TrainConfig(data=Path("d"), out=folder.path)
    if there == "run":
        folder.create(config)
    elif there == "files":
        folder.path.mkdir()
        (folder.path / "thesis.tex").write_text("years")
    else:
        folder.path.write_text("years")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ConfigError, match="out: ") as error:
        folder.create(replace(config, epochs=1))
    assert ("holds a run already" if there == "run" else "exists and is not empty") in str(error.value)
    assert "--resume" in str(error.value)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    RunFolder(tmp_path).create(TrainConfig(data=Path("d"), out=tmp_path))


def test_resuming_from_another_folder_compares_paths_not_their_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder("run").create(TrainConfig(data=Path("d"), out=Path("run")))
    RunFolder("run").create(TrainConfig(data=tmp_path / "d", out=tmp_path / "run", resume=True))


def test_a_file_of_weights_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    for folder in (there, elsewhere):
        folder.mkdir()
    (there / "mine.safetensors").touch()
    (there / "imagenet").touch()  # a name is no file, whatever lies there
    monkeypatch.chdir(there)
    config = TrainConfig(data=Path("d"), out=Path("run"), weights="mine.safetensors")
    RunFolder("run").create(config)
    RunFolder("named").create(replace(config, out=Path("named"), weights="imagenet"))
    RunFolder("run").create(replace(config, resume=True))
    monkeypatch.chdir(elsewhere)
    assert RunFolder(there / "run").config().weights == str(there / "mine.safetensors")
    assert RunFolder(there / "named").config().weights == "imagenet"


def test_evaluation_folders(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.evaluation("test").name == "evaluation"
    assert folder.evaluation("val").name == "evaluation-val"
