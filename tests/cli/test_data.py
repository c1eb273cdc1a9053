"""`lookright data prepare` as typed: data sets of others' files, and what newcomers get wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands_typed import Type, is_one_line
from PIL import Image

from lookright.cli.data import DATA_SETS
from lookright.data import Decoy, prepare
from lookright.demo import DECOY
from lookright.prepare_config import DigitsConfig


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """RES's scene folder."""
    root = tmp_path / "places"
    for number, place in enumerate(f"{s}/{c}" for s in ("train", "val", "test") for c in ("nature", "urban")):
        (root / place).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / place / f"{number}.jpg")
    (root / "attention_label").mkdir()
    (root / "attention_label" / "factual.csv").write_text('img_idx,attention,img_check\n0,"[[1, 0]]",good\n')
    return root


def test_scenes_are_prepared_checked_and_told(typed: Type, places: Path, tmp_path: Path) -> None:
    outcome = typed("data", "prepare", "scene", "--from", places, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert f"{tmp_path / 'out'}: 6 images, 1 of them annotated. Next: lookright check" in outcome.out
    assert typed("check", tmp_path / "out").code == 0


def test_digits_need_nothing_to_read(typed: Type, tmp_path: Path) -> None:
    few = ("--per-class-train", 2, "--per-class-val", 1, "--per-class-test", 1, "--patch", 5)
    command = ("data", "prepare", "digits", "--out", tmp_path / "out", *few)
    outcome = typed(*command)
    assert outcome.code == 0, outcome.err
    assert f"{tmp_path / 'out'}: 50 images, 50 of them annotated." in outcome.out
    assert json.loads((tmp_path / "out" / "decoy_digits.json").read_text())["patch"] == 5
    again = typed(*command)
    assert again.code == 2
    assert "out exists; choose another folder, or --overwrite it" in again.err
    assert typed(*command, "--overwrite").code == 0


def test_digits_are_those_of_the_demo() -> None:
    assert Decoy(DigitsConfig().patch, DigitsConfig().contrast, DigitsConfig().noise) == DECOY


def test_the_command_has_the_sets_that_there_are() -> None:
    assert {name: config for name, (_, config, _) in DATA_SETS.items()} == {
        name: made.config for name, made in prepare.DATA_SETS.items()
    }


def test_the_help_lists_every_data_set(typed: Type) -> None:
    told = " ".join(typed("data", "prepare", "--help").out.split())
    assert "gender take photos of COCO whose captions name a man or a woman" in told
    assert "scene take nature and urban scenes of Places365" in told


MISTAKES = {
    "no json": ("gender --images {empty} --out {new}", "from: missing; give the folder of COCO's json files"),
    "no photos": ("gender --from {empty} --out {new}", "images: missing; give the folder of COCO's photos"),
    "empty folder": (
        "gender --from {empty} --images {empty} --out {new}",
        "holds none of captions_train2014.json",
    ),
    "digits of something": ("digits --from {empty} --out {new}", "unknown option --from"),
    "a patch that is too large": ("digits --out {new} --patch 40", "patch: got 40; give 1 to 16 pixels"),
    "no such year": ("gender --from {empty} --year 2015", "year: got 2015, choose one of '2014', '2017'"),
    "no number": ("gender --from {empty} --people many", "people: got many, need a whole number"),
    "an option of another set": ("gender --from {empty} --nature x", "unknown option --nature"),
    "no scenes": ("scene --out {new}", "from: missing; give RES's folder with attention_label/ in it"),
    "no labels": ("scene --from {empty} --out {new}", "no csv file there, nor in attention_label/"),
    "download where to": ("scene --from {places} --out {new} --download", "images: missing; name the folder"),
    "no such data set": ("scenes", "invalid choice: 'scenes'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str, typed: Type, places: Path, tmp_path: Path) -> None:
    command, message = MISTAKES[case]
    (tmp_path / "empty").mkdir()
    folders = {"empty": tmp_path / "empty", "places": places, "new": tmp_path / "new"}
    outcome = typed("data", "prepare", *(word.format(**folders) for word in command.split()))
    assert outcome.code == 2
    assert is_one_line(outcome.err), outcome.err
    assert message in outcome.err
    assert not (tmp_path / "new").exists()


def test_without_a_network_one_line_says_what_to_do(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    json, images = tmp_path / "json", tmp_path / "photos"
    command = ("--from", json, "--images", images, "--out", tmp_path / "out", "--download")
    outcome = typed("data", "prepare", "gender", *command)
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    for part in ("annotations_trainval2014.zip", "253 MB", "md5 0a379c", "by hand", f"put it into {json}"):
        assert part in outcome.err
